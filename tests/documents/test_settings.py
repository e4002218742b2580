"""The blocks of YAML, written where the text says: they load, their values are taken, their sources are read."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from tests.documents.pages import PAGES, ROOT, Block, blocks
from tests.documents.settings import file_of, lay_out_mine, params_of, yaml_blocks
from tests.documents.stand_ins import kedro_run, lay_source, shrink
from tests.test_conf import loader

from dermdit_kedro.checks import refuse_parameters
from dermdit_kedro.combinations import refuse_combinations

CONF = ("globals.yml", "catalog.yml", "parameters.yml", "mlflow.yml")
BLOCKS = [block for block in yaml_blocks() if file_of(block) in CONF]
each_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)


def test_every_block_names_its_file() -> None:
    assert len(BLOCKS) >= 3
    others = [block.place for block in yaml_blocks() if file_of(block) not in CONF]
    assert others == [], f"of another program than Kedro: add a test. Kedro's files here are {', '.join(CONF)}"


def test_toml_is_of_this_project() -> None:
    found = [block for page in PAGES for block in blocks(page) if block.language == "toml"]
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["kedro"]
    for block in found:
        said = tomllib.loads(block.text).get("tool", {}).get("kedro", {})
        assert said.keys() <= own.keys(), block.place
        assert all(said[key] == own[key] for key in said.keys() - {"source_dir"}), block.place


@each_block
def test_the_environment_loads_and_its_values_are_taken(project: Path, block: Block) -> None:
    said = lay_out_mine(project, block)
    loaded = loader(project, "mine", params_of(block.section) or None)
    refuse_parameters(loaded["parameters"], dict(pipelines))
    refuse_combinations(loaded["parameters"])
    catalog = DataCatalog.from_config(loaded["catalog"])
    if file_of(block) == "parameters.yml":
        assert {key: loaded["parameters"][key] for key in said} != {}
    if file_of(block) == "catalog.yml":
        assert [name for name in said if name not in catalog] == []


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if "sources:" in block.text], ids=lambda block: block.place
)
def test_its_sources_are_read(tracked_project: Path, block: Block) -> None:
    said = lay_out_mine(tracked_project, block)["sources"]["sources"]
    shrink(tracked_project, "mine")
    kedro_run("--env", "mine", "--pipeline", "data_engineering")
    primary = tracked_project / "data/mine/03_primary"
    manifest = pd.read_parquet(primary / "manifest.parquet")
    quarantined = pd.read_parquet(primary / "quarantine.parquet")
    assert quarantined.empty, quarantined
    assert set(manifest["source"]) == set(said)
    for number, (name, source) in enumerate(said.items()):
        rows = manifest[manifest["source"] == name]
        assert (rows["role"] == source["role"]).all()
        expected = lay_source(tracked_project / "expected", name, source, number)
        if expected is not None:
            rows = rows.set_index(rows["file"].map(lambda file: Path(file).stem))
            rows, expected = rows.sort_index(), expected.set_index("image").sort_index()
            assert list(rows.index) == list(expected.index)
            for column in set(expected) & set(manifest):
                told, meant = (table[column].astype("object").fillna("unknown") for table in (rows, expected))
                assert told.tolist() == meant.tolist(), column
