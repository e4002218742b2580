"""Hooks, on a project of three nodes: real sessions, a real MLflow store."""

import logging
import re
import signal
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro_datasets.text import TextDataset
from rich.console import Console

from dermdit_kedro.datasets.sources import SourcesDataset
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.headlines import headlines, note
from dermdit_kedro.hooks import PROGRESS, TRACKING, _layouts
from dermdit_kedro.parameters import Parameters
from dermdit_kedro.run_progress import ProgressHook
from dermdit_kedro.terminal import print_ranking, print_summary
from dermdit_kedro.tracking import Measurement, measurements, plain_parameters, run_name, run_tags


def run(project: Path, *, parameters: dict[str, Any] | None = None, **options: Any) -> None:
    with KedroSession.create(project_path=project, runtime_params=parameters or {}) as session:
        session.run(**options)


def rows(project: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute(query).fetchall()


def test_a_run_is_logged_field_by_field(tracked_toy: Path) -> None:
    run(tracked_toy)
    ((status, name),) = rows(tracked_toy, "select status, name from runs")
    assert status == "FINISHED"
    assert re.fullmatch(r"base · all pipelines · \d{4}-\d\d-\d\d \d\d:\d\d", name)
    tags = dict(rows(tracked_toy, "select key, value from tags"))
    assert {key: tags[key] for key in ("environment", "pipeline")} == {
        "environment": "base",
        "pipeline": "all pipelines",
    }
    assert tags["mlflow.runName"] == name
    assert tags["mlflow.note.content"] == "**Phantoms: these figures say nothing about patients.**"
    parameters = dict(rows(tracked_toy, "select key, value from params"))
    assert parameters == {"image_size": "64", "toy.training.max_train_steps": "5", "toy.training.outcome": "good"}
    curve = rows(tracked_toy, "select step, value from metrics where key = 'toy.training_history.loss' order by step")
    assert curve == [(step, 1 / (step + 1)) for step in range(5)]
    assert rows(tracked_toy, "select value from metrics where key = 'toy.training_history.first_loss'") == [(1.0,)]
    artifacts = {path.name for path in (tracked_toy / "mlartifacts").rglob("*.json")}
    assert artifacts == {"summary.json", "report.json", "training_history.json"}


def test_a_failed_run_is_marked_failed_and_an_interrupted_one_too(tracked_toy: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(tracked_toy, parameters={"toy": {"training": {"outcome": "bug"}}})
    with pytest.raises(KeyboardInterrupt):
        run(tracked_toy, parameters={"toy": {"training": {"outcome": "interrupt"}}})
    TRACKING.mark_failed()  # the command line's `finally`, and the interpreter's end
    assert rows(tracked_toy, "select status from runs") == [("FAILED",), ("FAILED",)]


def test_an_interrupt_while_mlflow_writes_is_an_interrupt(tracked_toy: Path) -> None:
    """What was being written is let go, or the store would be locked when the run is ended."""
    from dermdit_kedro.cli import cli

    result = CliRunner().invoke(cli, ["run", "--params", "toy.training.outcome=interrupt while writing"])
    assert result.exit_code == 130, result.output
    assert "Interrupted; the same command goes on from here" in result.output
    assert rows(tracked_toy, "select status from runs") == [("FAILED",)]


def test_a_ctrl_c_that_python_drops_ends_the_run_at_the_next_node(tracked_toy: Path) -> None:
    from dermdit_kedro.cli import cli

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = CliRunner().invoke(cli, ["run", "--params", "toy.training.outcome=interrupt dropped"])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130, result.output
    assert rows(tracked_toy, "select status from runs") == [("FAILED",)]


def test_a_store_that_is_away_does_not_hide_an_error(tracked_toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Away:
        def on_pipeline_error(self, *_: Any, **__: Any) -> None:
            raise OSError("nobody answers")

    TRACKING._mlflow = Away()
    TRACKING.mark_failed()
    assert "could not be marked as failed: nobody answers" in caplog.text


def test_a_refused_run_leaves_nothing_behind(toy: Path) -> None:
    with pytest.raises(UserError, match="image_sise is not a parameter; did you mean image_size"):
        run(toy, parameters={"image_sise": 3})
    assert not (toy / "mlflow.db").exists()
    assert not (toy / "data").exists()
    assert not PROGRESS.has_started


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"toy": {"training": {"max_train_step": 3}}}, "did you mean toy.training.max_train_steps"),
        ({"toy": {"trainin": {}}}, "toy.trainin is not a parameter; did you mean toy.training"),
        ({"max_train_steps": 3}, "did you mean toy.training.max_train_steps"),
        ({"toy": {"training": {"max_train_steps": 0}}}, "toy.training.max_train_steps = 0: .* greater than 0"),
        ({"image_size": "many"}, "image_size = 'many': .* integer"),
    ],
)
def test_parameters_of_pipelines_not_run_are_checked_too(toy: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(toy, parameters=parameters, pipeline_names=["making"])


def test_missing_inputs_name_the_pipeline_that_makes_them(toy: Path) -> None:
    message = "`manifest` is missing: run `kedro run --env base --pipeline making` first"
    with pytest.raises(UserError, match=message), KedroSession.create(project_path=toy, env="base") as session:
        session.run(pipeline_names=["training"])
    assert not (toy / "mlflow.db").exists()


def test_a_finished_run_has_nothing_to_do(tracked_toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dermdit_kedro.hooks")
    run(tracked_toy)
    (tracked_toy / "data" / "03_primary" / "manifest.json").rename(tracked_toy / "elsewhere.json")
    run(tracked_toy, pipeline_names=["training"], only_missing_outputs=True)
    assert not PROGRESS.has_started
    assert "nothing to do: every output is there; whether parameters have changed was not looked at" in caplog.messages


def test_typed_parameters_become_plain() -> None:
    class Sampler(Parameters):
        num_inference_steps: int = 4

    inputs = {"params:sampler": Sampler(), "params:seed": 7, "generator": ModelFolder(Path("x"), "f")}
    assert plain_parameters(inputs) == {"params:sampler": {"num_inference_steps": 4}, "params:seed": 7}


def test_measurements_are_named_by_their_words() -> None:
    report = {
        "variant": "dermdit",
        "frechet_distance": [{"name": "fd_x", "reference": "train", "value": 1.5, "n_real": 10}],
        "label_agreement": None,
        "auc": {"value": 0.7, "interval": [0.6, 0.8]},
        "by_group": [{"tone_group": "dark", "is_malignant": True, "kept": 3}],
        "psnr": float("nan"),
        "judgeable": False,
    }
    assert {m.name: m.value for m in measurements("dermdit.image_metrics", report)} == {
        "dermdit.image_metrics.frechet_distance.fd_x.train.value": 1.5,
        "dermdit.image_metrics.frechet_distance.fd_x.train.n_real": 10.0,
        "dermdit.image_metrics.auc.value": 0.7,
        "dermdit.image_metrics.auc.interval.low": 0.6,
        "dermdit.image_metrics.auc.interval.high": 0.8,
        "dermdit.image_metrics.by_group.dark.is_malignant_true.kept": 3.0,
    }


def test_a_run_is_named_by_what_it_is() -> None:
    now = datetime(2026, 11, 28, 14, 55)
    changed = {"sampler": {"guidance_scale": 3.0}, "seed": 1}
    run_params = {"env": "test", "pipeline_names": ["synthesis"], "runtime_params": changed}
    assert run_name(run_params, now) == "test · synthesis · sampler.guidance_scale=3.0 · seed=1 · 2026-11-28 14:55"
    again = {"tags": ("score", "report"), "runtime_params": {}}
    assert run_name(again, now) == "base · all pipelines · tags score+report · 2026-11-28 14:55"
    many = {f"a{number}": number for number in range(4)}
    assert (
        run_name({"runtime_params": many}, now) == "base · all pipelines · a0=0 · a1=1 · a2=2 · ... · 2026-11-28 14:55"
    )


@pytest.mark.parametrize(
    ("layouts", "data"),
    [(["phantom", "phantom"], "phantoms"), (["ham10000"], "patients"), (["ddi", "phantom"], "patients and phantoms")],
)
def test_tags_say_whose_images_were_read(layouts: list[str], data: str, tmp_path: Path) -> None:
    tags = run_tags({"env": "test", "pipeline_names": ["tables"], "project_path": tmp_path.as_posix()}, layouts)
    assert tags == {"environment": "test", "pipeline": "tables", "data": data}


def test_the_layouts_of_a_catalog_are_words_not_entries() -> None:
    entries = {
        "drawn": {"layout": "phantom", "role": "train"},
        "clinic": {"layout": "ddi", "role": "test", "path": "x"},
    }
    assert _layouts(DataCatalog({"sources": SourcesDataset(sources=entries)})) == ["phantom", "ddi"]
    assert _layouts(DataCatalog()) == []


def test_a_run_within_a_repository_names_its_commit(tmp_path: Path) -> None:
    from git import Repo

    commit = Repo.init(tmp_path).index.commit("first").hexsha
    assert run_tags({"project_path": tmp_path.as_posix()}, [])["mlflow.source.git.commit"] == commit


def test_headlines_are_few_and_tell_runs_apart() -> None:
    summary = {
        "data": {"kind": "phantoms"},
        "diagnosis": {"real": {"test_sets": {"ddi": {"overall": {"auc": {"value": 0.7}}, "tone_group": {}}}}},
        "fairness": {
            "real": {"attributes": {"tone_group": {"ddi": {"gaps": {"equal_opportunity_difference": {"value": 0.2}}}}}}
        },
        "image_metrics": {
            "dit": {"kid": [{"reference": "train", "value": 9.0}, {"reference": "held_out", "value": 0.1}]},
            "ldm": "not measured",
        },
        "agreement": {"dit": {"tone_agreement": {"overall": {"value": 0.9}}, "label_agreement": None}},
        "screening": {"dit": {"n_kept": 3, "n_planned": 4}},
        "autoencoder": "not measured",
        "verdict": {"paragraphs": [{"test_set": "ddi", "text": "Nothing can be told."}]},
    }
    assert {measured.name: measured.value for measured in headlines(summary)} == {
        "headline/auc.real.ddi": 0.7,
        "headline/tone_gap.real.ddi": 0.2,
        "headline/kid.dit": 0.1,
        "headline/tone_agreement.dit": 0.9,
        "headline/share_kept.dit": 0.75,
    }
    assert note(summary).endswith("say nothing about patients.**\n\nNothing can be told.")


def test_tables_stay_in_the_artifact() -> None:
    report = {"images": 3, "counts": [{"source": "a", "images": 3}], "ita_degrees": {"edges": [0, 5], "n": 3}}
    report |= {"groups": {"dark": {"n": 1}}, "gap": {"value": 0.1, "p_value": 0.5}}
    assert [m.name for m in measurements("data_report", report)] == [
        "data_report.images",
        "data_report.ita_degrees.n",
        "data_report.gap.value",
    ]


def test_curves_keep_their_steps() -> None:
    history = {"steps": [10, 20], "loss": [1.0, 0.5], "validation": [{"step": 20, "loss": 0.7}], "seconds": 3}
    assert list(measurements("h", history)) == [
        Measurement("h.loss", 1.0, 10),
        Measurement("h.loss", 0.5, 20),
        Measurement("h.validation.loss", 0.7, 20),
        Measurement("h.seconds", 3.0),
    ]


def test_names_are_those_mlflow_takes() -> None:
    assert [m.name for m in measurements("a", {"b: c (%)": 1})] == ["a.b_ c ___"]


def test_the_last_lines_say_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    overall = {"auc": {"value": 0.71, "interval": [0.6, 0.8]}, "recall": {"value": 0.5}}
    diagnosis = {"real": {"test_sets": {"held_out": {"overall": overall, "tone_group": {"dark": {"auc": None}}}}}}
    summary = {
        "data": {"kind": "phantoms"},
        "image_metrics": {"dermdit": {"frechet_distance": [{"name": "fd_x", "value": 12.25}], "kid": "not measured"}},
        "agreement": {"dermdit": {"tone_agreement": {"overall": {"value": 0.9}}}},
        "diagnosis": diagnosis,
        "fairness": "not measured",
        "verdict": {"paragraphs": [{"test_set": "held_out", "text": "On held out, nothing [yet] can be told."}]},
    }
    print_summary(summary, Path("report.html"))
    shown = capsys.readouterr().out
    for words in ("phantoms", "12.250", "fd_x", "0.900", "held_out", "0.710", "nothing [yet]", "report.html"):
        assert words in shown


@pytest.mark.parametrize("width", [80, 100])
def test_the_last_lines_fit_a_terminal(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    measured = {"value": 0.71, "interval": [0.6, 0.8]}
    arms = ("real", "real_plus_synthetic", "real_group_thresholds")
    sets = {"held_out": {"overall": {"auc": measured, "recall": measured}}}
    distances = {
        name: [{"name": f"{name}_efficientnet_lite0", "value": 1101.555}] for name in ("frechet_distance", "kid")
    }
    print_summary(
        {
            "image_metrics": {"conditioned_on_five_attributes": distances},
            "agreement": {"conditioned_on_five_attributes": {"tone_agreement": {"overall": measured}}},
            "diagnosis": {arm: {"test_sets": sets} for arm in arms},
        },
        None,
        Console(width=width),
    )
    shown = capsys.readouterr().out
    assert "…" not in shown
    for arm in arms:
        assert f"{arm} " in shown
    assert shown.count("(0.60-0.80)") == 1 + len(arms)


def test_the_last_line_about_data_alone_says_where_their_page_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "data_report.html"
    page.write_text("who")
    hook = ProgressHook()
    hook.before_pipeline_run({}, Pipeline([]), DataCatalog({"data_report_page": TextDataset(filepath=str(page))}))
    hook.after_dataset_saved("data_report", {"sources": {}})
    hook.after_pipeline_run()
    assert str(page) in capsys.readouterr().out
    hook.after_dataset_saved("summary", {})  # a whole run: its own page is named instead
    hook.after_pipeline_run()
    assert str(page) not in capsys.readouterr().out


def test_generators_are_ranked_among_those_of_as_many_images(capsys: pytest.CaptureFixture[str]) -> None:
    column = "fd_net_held_out"
    rows = [
        ("dermdit", 70.0, 11.3, 34, 60.2),
        ("dit_llava", 71.0, 11.3, 34, 60.2),
        ("ldm", 50.0, 17.4, 14, 40.0),
        ("mine", 51.0, 17.4, 14, 30.0),
        ("dit", None, None, None, None),
    ]
    names = ["variant", column, f"{column}_floor", f"{column}_n", f"{column}_autoencoder"]
    table = pd.DataFrame(rows, columns=names)
    print_ranking(table)
    said = capsys.readouterr().out
    assert "fd_net_held_out, n = 14: ldm 50 < mine 51; real images 17.4\n" in said
    assert (
        "fd_net_held_out, n = 34: dermdit 70 < dit_llava 71; real images 11.3, through the autoencoder 60.2\n" in said
    )
    assert "not measured: dit\n" in said
