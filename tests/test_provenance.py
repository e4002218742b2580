"""What a report says of its run: the commit, the parameters with their defaults, the files beside it."""

import subprocess
from pathlib import Path

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from dermdit_kedro.parameters import Parameters
from dermdit_kedro.pipelines.fairness_evaluation.reporting import create_reporting_pipeline
from dermdit_kedro.pipelines.variants import Variant
from dermdit_kedro.provenance import beside_the_report, describe_commit, effective_parameters


class Depth(Parameters):
    """A block with a default."""

    depth: int
    width: int = 8


def build(config: Depth, seed: int) -> int:
    return config.depth * config.width + seed


def test_a_commit_and_what_was_changed_since(tmp_path: Path) -> None:
    assert describe_commit(tmp_path) == {"commit": None, "is_changed": None}
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("a = 1")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "first")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    found = describe_commit(tmp_path)
    assert len(found["commit"]) == 40
    assert found["is_changed"] is False
    (tmp_path / "notes.txt").write_text("decides nothing")
    assert describe_commit(tmp_path)["is_changed"] is False
    (tmp_path / "src/b.py").write_text("new and untracked")
    assert describe_commit(tmp_path)["is_changed"] is True


def test_parameters_come_with_their_defaults() -> None:
    pipeline = Pipeline([Node(build, {"config": "params:net", "seed": "params:seed"}, "result", name="build")])
    parameters = {"net": {"depth": 2}, "seed": 3, "unread": 1}
    assert effective_parameters(parameters, {"one": pipeline}) == {"net": {"depth": 2, "width": 8}, "seed": 3}


@pytest.mark.filterwarnings("ignore:One or more dataset names contain:UserWarning")
def test_the_files_beside_a_report(root: Path) -> None:
    """As the committed catalog lays them out, relative to the report."""
    import yaml

    entries: dict[str, object] = {}
    for file in sorted((root / "conf/base").glob("*/catalog*.yml")):
        text = (
            file.read_text()
            .replace("${globals:paths.data}", "data")
            .replace("${project_root:}", ".")
            .replace("${conf_source:}", "conf")
        )
        entries |= {k: v for k, v in yaml.safe_load(text).items() if k != "sources"}
    catalog = DataCatalog.from_config(entries)
    variants = (Variant("dermdit", prompt_set="five_attributes"),)
    pipeline = create_reporting_pipeline(variants, ("real",), ("five_attributes",))
    assert beside_the_report(pipeline, catalog) == {
        "The data, counted": "data_report.html",
        "Every number of this page": "summary.json",
        "Model card of dermdit": "../06_models/dermdit/generator/README.md",
        "Data card of dermdit's images": "../07_model_output/dermdit/set/README.md",
    }
    assert "provenance" in pipeline.inputs()
