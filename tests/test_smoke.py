"""The whole graph, as a user runs it: every file is written, nothing is done twice, each pipeline runs alone."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser import DESK, PHONE, Page, browsing, find_browser, serving, serving_files
from tests.conftest import copy_finished, copy_project
from tests.pipelines.fairness_evaluation.runs import Table2Runs, survive
from tests.views import MLFLOW, QUIET, VIZ, see_entry, see_graph, see_report, see_run, see_runs

from dermdit_kedro.pipeline_registry import ARMS

FILES = (
    "03_primary/manifest.parquet",
    "03_primary/quarantine.parquet",
    "03_primary/images/_complete.json",
    "08_reporting/data_report.json",
    "08_reporting/data_report.html",
    "03_primary/prompts/five_attributes.parquet",
    "08_reporting/five_attributes/prompt_audit.json",
    "06_models/text_encoder/_complete.json",
    "04_feature/text_embeddings/five_attributes/_complete.json",
    "06_models/autoencoder/_complete.json",
    "04_feature/latents/_complete.json",
    "06_models/dermdit/generator/_complete.json",
    "08_reporting/dermdit/training_history.json",
    "04_feature/train_features/_complete.json",
    "06_models/screening_classifier/_complete.json",
    "05_model_input/dermdit/plan.parquet",
    "07_model_output/dermdit/images/_complete.json",
    "07_model_output/dermdit/manifest.parquet",
    "08_reporting/dermdit/screening.json",
    "08_reporting/dermdit/autoencoder_metrics.json",
    "08_reporting/dermdit/image_metrics.json",
    *(f"07_model_output/{arm}/predictions.parquet" for arm in ("real", "synthetic")),
    *(f"08_reporting/{arm}/diagnosis_metrics.json" for arm in ("real_plus_synthetic", "real_oversampled")),
    *(f"08_reporting/{arm}/group_fairness.json" for arm in ("real", "synthetic")),
    "08_reporting/arm_comparison.json",
    "08_reporting/verdict.json",
    "08_reporting/figures/sample_grid.json",
    "08_reporting/provenance.json",
    "08_reporting/summary.json",
    "08_reporting/report.html",
)
PIPELINES = ("data_engineering", "prompting", "generative_training", "synthesis", "fairness_evaluation")


def run(folder: Path, *arguments: str, command: str = "run") -> str:
    """Run `kedro run --env test` and return what it said; a failure shows its end."""
    environment = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, "-m", "kedro", command, "--env", "test", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def project(folder: Path, store: Path) -> Path:
    copy_project(folder)
    shutil.copy(store, folder / "mlflow.db")
    return folder


def close(one: Any, other: Any, bound: float) -> bool:
    """Whether two JSON values are equal up to a bound on their numbers, absolute and relative."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key], bound) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(close(a, b, bound) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= bound * max(1.0, abs(one))
    return bool(one == other)


@pytest.fixture(scope="module")
def finished(finished_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the whole graph has run."""
    return copy_finished(finished_once, tmp_path_factory.mktemp("smoke") / "project")


def test_every_file_of_the_design_is_written(finished: Path) -> None:
    data = finished / "data" / "test"
    assert [file for file in FILES if not (data / file).is_file()] == []
    assert list((data / "07_model_output/dermdit/images").glob("*.png"))


def test_the_summary_answers(finished: Path) -> None:
    summary = json.loads((finished / "data" / "test" / "08_reporting" / "summary.json").read_text())
    assert summary["data"]["kind"] == "phantoms"
    assert summary["autoencoder"]["psnr"]["value"] > 5
    assert {"tone_agreement", "label_agreement"} <= set(summary["agreement"]["dermdit"])
    assert set(summary["diagnosis"]) == set(ARMS)
    assert len(summary["run"]["mlflow_run_id"]) == 32
    assert summary["run"]["configuration"]["image_size"] == summary["image_size"]
    reporting = finished / "data" / "test" / "08_reporting"
    assert [file for file in summary["run"]["files"].values() if not (reporting / file).is_file()] == []
    assert len(summary["verdict"]["verdicts"]) == 2 * (len(ARMS) - 1) * (1 + 4)


def test_a_finished_run_has_nothing_to_do(finished: Path) -> None:
    said = run(finished, "--only-missing-outputs")
    assert "nothing to do" in said
    assert "node 1" not in said


def durations(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "data/test/02_intermediate/durations.json").read_text())
    return content


def test_a_plan_names_the_nodes_that_ran_and_what_is_finished(finished: Path) -> None:
    said = run(finished, command="plan")
    planned = re.findall(r"^ +\d+ +([\w.]+) ", said, re.MULTILINE)
    assert len(planned) == 55
    assert set(planned) == set(durations(finished))
    assert said.count("reuse: ") >= 18  # every training, drawing, encoding and extraction
    assert "not measured" not in said


def test_a_plan_from_nothing_says_the_disk_that_the_run_took(finished: Path) -> None:
    work = finished / "data/test/02_intermediate/work"
    aside = work.with_name("work_aside")
    work.rename(aside)
    try:
        said = run(finished, command="plan")
    finally:
        aside.rename(work)
    assert "reuse: " not in said
    needed, unit = re.search(r"Disk: about ([\d.]+) (MB|GB)", said).groups()
    taken = sum(file.stat().st_size for file in work.rglob("*") if file.is_file()) / (1e6 if unit == "MB" else 1e9)
    assert taken / 2 < float(needed) < 2 * taken


@pytest.mark.slow
def test_the_time_of_a_plan_is_that_of_the_same_run_within_a_factor_of_two(finished: Path) -> None:
    """Once with all its work to do again, once with nothing of it."""
    for is_anew in (True, False):
        if is_anew:
            shutil.rmtree(finished / "data/test/02_intermediate/work")
        said = run(finished, command="plan")
        minutes, seconds = re.search(r"Time: about (?:(\d+) min )?(\d+) s", said).groups()
        planned = 60 * int(minutes or 0) + int(seconds)
        run(finished)
        which = 0 if is_anew else 1
        taken = sum((record[which] or record[0] or record[1])[0] for record in durations(finished).values())
        assert taken / 2 < planned < 2 * taken + 5, (is_anew, planned, taken)


@pytest.fixture(scope="module")
def site(finished: Path) -> Path:
    """What Kedro-Viz makes of the finished run, as files."""
    environment = {**os.environ, "KEDRO_ENV": "test"}
    done = subprocess.run(
        [sys.executable, *VIZ], cwd=finished, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return finished / "build"


def test_kedro_viz_shows_layers_and_previews(site: Path) -> None:
    graphs = {file.name: json.loads(file.read_text()) for file in (site / "api/pipelines").iterdir()}
    assert {*PIPELINES, "__default__", "table1", "table2"} <= set(graphs)
    assert [name for name, graph in graphs.items() if not graph["layers"]] == []
    nodes = {node["name"]: node["id"] for node in graphs["__default__"]["nodes"] if node["type"] == "data"}
    previews = {
        name: json.loads((site / "api/nodes" / node).read_text()).get("preview") for name, node in nodes.items()
    }
    assert [name for name, preview in previews.items() if preview is None] == ["instruction_templates"]
    assert [name for name, preview in previews.items() if len(json.dumps(preview)) > 1_000_000] == []


@pytest.mark.parametrize("name", ["tour", "design"])
def test_a_notebook_runs_from_top_to_bottom(finished: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("KEDRO_ENV", "test")
    notebook = nbformat.read(Path(__file__).parents[1] / "notebooks" / f"{name}.ipynb", as_version=4)
    (finished / "notebooks").mkdir(exist_ok=True)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(finished / "notebooks")}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.output_type == "error"]
    assert len(shown) > 6
    pictures = [output for output in shown if "image/png" in output.get("data", {})]
    assert name != "design" or len(pictures) == 4


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a browser without a window."""
    if find_browser() is None:
        pytest.skip("no Chromium on this machine")
    with browsing() as page:
        yield page


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Where screenshots are left; the terminal says so."""
    folder = tmp_path_factory.mktemp("pictures")
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:  # a worker of pytest-xdist has none
        terminal.write_line(f"screenshots: {folder}")
    return folder


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_a_browser_shows_the_report_without_a_network(
    finished: Path, page: Page, pictures: Path, size: tuple[int, int]
) -> None:
    see_report(page, finished / "data/test/08_reporting/report.html", size)
    page.shoot(pictures / f"report_{size[0]}.png")
    assert re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=.https?:", page.html()) == []
    for heading in ("Verdict", "Image metrics", "Does it diagnose better?"):
        assert heading in page.text()


@pytest.mark.timeout(600)
def test_a_browser_shows_kedro_viz(site: Path, page: Page, pictures: Path) -> None:
    """Five boxes and the layers between them; the contact sheet, the curve, the table, the model card, the verdict."""
    with serving_files(site) as url:
        see_graph(page, url)
        page.shoot(pictures / "viz.png")
        layers = page.tell("[...document.querySelectorAll('.pipeline-layer-name')].map(layer => layer.textContent)")
        assert {"raw", "primary", "models", "reporting"} <= set(layers)
        boxes = page.tell(
            "[...document.querySelectorAll('.pipeline-node--modularPipeline')].map(box => box.textContent)"
        )
        assert sorted(boxes) == sorted(PIPELINES)
        shown = {
            "dermdit.synthetic_images": "img[src^='data:image/png']",
            "dermdit.training_history": ".js-plotly-plot .scatterlayer path",
            "manifest": "table td",
            "dermdit.generator": ".html-renderer h2",
            "report": ".html-renderer h2",
            "real.diagnosis_metrics": ".pipeline-metadata__preview-json",
        }
        for name, what in shown.items():
            see_entry(page, url, name, what)
            page.shoot(pictures / f"viz_{name}.png")
        see_entry(page, url, "dermdit.synthetic_images", "img")
        width = page.tell("document.querySelector('.pipeline-metadata img[src^=\"data:\"]').naturalWidth")
        assert width == 8 * 96


@pytest.mark.timeout(900)
def test_a_browser_shows_the_runs_in_mlflow(finished: Path, page: Page, pictures: Path) -> None:
    with sqlite3.connect(finished / "mlflow.db") as store:
        run, name = store.execute("select run_uuid, name from runs order by start_time").fetchone()
    assert name.startswith("test · all pipelines · ")
    with serving(finished, *MLFLOW, **QUIET) as url:
        see_runs(page, url, name)
        page.shoot(pictures / "mlflow_runs.png")
        for tab, words in (("", "Phantoms"), ("/model-metrics", "headline"), ("/artifacts", "report.html")):
            see_run(page, url, run, tab, words)
            page.shoot(pictures / f"mlflow_run{tab.replace('/', '_')}.png")
            assert name in page.text()


@pytest.mark.slow  # in CI a data node, a captioner, a training and a sampler are killed
@pytest.mark.timeout(900)
def test_table2_survives_a_kill_while_it_trains_its_classifiers(finished: Path) -> None:
    """Twenty seconds after its start it trains them; what was made before is there."""
    survive(Table2Runs(finished, keep_upstream=True), lambda _: [20])


@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_each_pipeline_runs_alone(finished: Path, name: str) -> None:
    assert "node 1 of" in run(finished, "--pipeline", name)


@pytest.mark.slow
def test_another_clone_gives_the_same_summary(finished: Path, tmp_path: Path, mlflow_store: Path) -> None:
    again = project(tmp_path / "again", mlflow_store)
    run(again)
    summaries = [
        json.loads((folder / "data" / "test" / "08_reporting" / "summary.json").read_text())
        for folder in (finished, again)
    ]
    one, other = (summary.pop("run") for summary in summaries)  # id, time and commit are the run's own
    assert one["mlflow_run_id"] != other["mlflow_run_id"]
    assert one["configuration"] == other["configuration"]
    assert close(*summaries, bound=1e-6)


@pytest.mark.slow
def test_both_tables_come_out_whole(finished: Path) -> None:
    import pandas as pd

    run(finished, "--pipeline", "table1")
    run(finished, "--pipeline", "table2")
    reporting = finished / "data" / "test" / "08_reporting"
    assert len(pd.read_csv(reporting / "table1.csv")) == 5
    assert pd.read_csv(reporting / "table2.csv")["arm"].nunique() == len(ARMS)
