"""Hooks, on a project of three nodes: real sessions, a real MLflow store."""

import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.session import KedroSession

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.hooks import PROGRESS, TRACKING
from dermdit_kedro.parameters import Parameters
from dermdit_kedro.terminal import print_summary
from dermdit_kedro.tracking import Measurement, measurements, plain_parameters


def run(project: Path, *, parameters: dict[str, Any] | None = None, **options: Any) -> None:
    with KedroSession.create(project_path=project, runtime_params=parameters or {}) as session:
        session.run(**options)


def rows(project: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute(query).fetchall()


def test_a_run_is_logged_field_by_field(tracked_toy: Path) -> None:
    run(tracked_toy)
    assert rows(tracked_toy, "select status from runs") == [("FINISHED",)]
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


def test_tables_stay_in_the_artifact() -> None:
    report = {"images": 3, "counts": [{"source": "a", "images": 3}], "ita_degrees": {"edges": [0, 5], "n": 3}}
    assert [m.name for m in measurements("data_report", report)] == ["data_report.images", "data_report.ita_degrees.n"]


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
    for words in ("phantoms", "12.250 fd_x", "0.900", "held_out", "0.710", "nothing [yet]", "report.html"):
        assert words in shown
