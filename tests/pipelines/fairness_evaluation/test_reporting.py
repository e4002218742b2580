"""The reporting nodes in a Kedro run: dotted names arrive, every output lies on disk, equal runs give equal files."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from tests.report.drawing import figures_of
from tests.report.test_page import RUN

from dermdit_kedro.pipelines.fairness_evaluation.reporting import (
    FIGURES,
    create_reporting_pipeline,
    write_report,
)
from dermdit_kedro.pipelines.variants import Variant
from dermdit_kedro.report.parameters import ReportConfig
from dermdit_kedro.report.swap_figure import prompt_swap_figure

# A node that gathers from several namespaces cannot have one itself.
pytestmark = pytest.mark.filterwarnings("ignore:One or more dataset names contain:UserWarning")
ROOT = Path(__file__).parents[3]
VARIANTS = (Variant("dermdit", prompt_set="five_attributes"),)
ARMS = ("real", "synthetic", "real_plus_synthetic", "real_oversampled")


@pytest.fixture(scope="module")
def run() -> Any:
    """Load the finished run in miniature that the report's own tests use."""
    spec = importlib.util.spec_from_file_location("miniature_run", ROOT / "tests/report/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def catalog_of(folder: Path, content: dict[str, Any]) -> DataCatalog:
    text = (ROOT / "conf/base/fairness_evaluation/catalog_reporting.yml").read_text()
    catalog = DataCatalog.from_config(yaml.safe_load(text.replace("${globals:paths.data}", folder.as_posix())))
    settings = {"params:report": ReportConfig(), "params:seed": 0, "params:image_size": 64}
    for name, value in {**content, **settings}.items():
        catalog[name] = MemoryDataset(value, copy_mode="assign")
    return catalog


def test_the_run_writes_every_output_and_twice_the_same(tmp_path: Path, run: Any) -> None:
    pipeline = create_reporting_pipeline(VARIANTS, ARMS, ("five_attributes",))
    content = {**run.make_drawing_inputs(tmp_path / "inputs"), **run.make_parts()}
    content["provenance"] = RUN
    content["dermdit.prompt_swap_figure"] = prompt_swap_figure(pd.DataFrame(), None, {}, shown=1, thumbnail_px=8)
    for name in ("first", "second"):
        SequentialRunner().run(pipeline, catalog_of(tmp_path / name, content))
    written = sorted(file.relative_to(tmp_path / "first") for file in (tmp_path / "first").rglob("*") if file.is_file())
    figures = [f"08_reporting/figures/{name.removesuffix('_figure')}.json" for name in FIGURES]
    assert written == sorted(map(Path, [*figures, "08_reporting/summary.json", "08_reporting/report.html"]))
    for file in written:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    summary = json.loads((tmp_path / "first/08_reporting/summary.json").read_text())
    assert summary["training"]["dermdit"]["last_step"] == 600
    assert (tmp_path / "first/08_reporting/report.html").read_text().count("<figcaption>") == 8


def test_the_graph_reads_what_the_pipelines_write() -> None:
    variants = (*VARIANTS, Variant("ldm", prompt_set=None))
    pipeline = create_reporting_pipeline(variants, ARMS, ("five_attributes", "two_attributes"))
    inputs = pipeline.inputs()
    assert {"ldm.synthetic_images", "dermdit.screening", "real.group_fairness", "two_attributes.prompt_audit"} <= inputs
    assert {"manifest", "images", "data_report", "autoencoder_report", "provenance", "params:report"} <= inputs
    assert pipeline.outputs() == {"summary", "report"}
    assert {node.name for node in pipeline.nodes} == {"draw_image_figures", "draw_diagnosis_figures", "write_report"}
    assert all(node.name == node.func.__name__ for node in pipeline.nodes)


def test_the_nodes_are_plain_functions(tmp_path: Path, run: Any) -> None:
    figures = figures_of(run.make_drawing_inputs(tmp_path), ReportConfig(samples_per_cell=1))
    assert tuple(figures) == FIGURES
    assert [trace.name for trace in figures["training_curves_figure"].data][-1] == "autoencoder"
    summary, page = write_report(ReportConfig(), 64, 0, {}, **run.make_parts(), **figures)
    assert summary["baseline_arm"] == "real"
    assert page.startswith("<!doctype html>")


def test_the_committed_parameters_are_valid() -> None:
    text = (ROOT / "conf/base/fairness_evaluation/parameters_reporting.yml").read_text()
    assert ReportConfig.model_validate(yaml.safe_load(text)["report"]).baseline_arm in ARMS
