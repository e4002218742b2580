"""The run command, in-process on a project of three nodes."""

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.cli import project as kedro_project
from kedro.io import DatasetError

from dermdit_kedro.cli import cli, run, user_message
from dermdit_kedro.errors import UserError


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["run", *arguments])


def outcome(words: str) -> str:
    return f"toy.training.outcome={words}"


def test_every_option_of_kedro_run_is_there() -> None:
    assert {option.name for option in kedro_project.run.params} < {option.name for option in run.params}


def test_a_good_run_exits_0(tracked_toy: Path) -> None:
    result = invoke("--params", "image_size=32,toy.training.max_train_steps=2")
    assert result.exit_code == 0, result.output
    assert (tracked_toy / "data" / "08_reporting" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--params", "image_sise=3"], "Error: image_sise is not a parameter; did you mean image_size?\n"),
        (
            ["--params", "toy.training=[1]"],
            "Error: parameters: a list must not take the place of a block of keys, nor a block that of a list. "
            "Got one in --params {'toy': {'training': [1]}}\n",
        ),
        (["--params", outcome("user_error")], "Error: 12 images are too few\n"),
        (["--pipeline", "training"], "Error: `manifest` is missing: run `kedro run --pipeline making` first\n"),
    ],
)
def test_what_a_user_can_mend_is_one_message(tracked_toy: Path, arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert result.stderr.endswith(message)
    assert "Traceback" not in result.output
    assert result.stderr.count("Error") == 1


@pytest.mark.parametrize("value", ["[3", "${"])
def test_a_value_that_cannot_be_read_is_a_message(toy: Path, value: str) -> None:
    result = invoke("--params", f"image_size={value}")
    assert result.exit_code == 2
    assert f"Error: each value of --params must be YAML. Got '--params image_size={value}'" in result.stderr
    assert "Traceback" not in result.output


def test_an_unknown_pipeline_and_environment_are_messages(toy: Path) -> None:
    assert "Did you mean" in invoke("--pipeline", "trainin").stderr
    assert "conf/nowhere" in invoke("--env", "nowhere").stderr


def test_verbose_shows_the_traceback_before_the_message(tracked_toy: Path) -> None:
    result = invoke("--verbose", "--params", outcome("user_error"))
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("Error: 12 images are too few\n")


def test_a_bug_keeps_its_traceback(tracked_toy: Path) -> None:
    result = invoke("--params", outcome("bug"))
    assert isinstance(result.exception, ZeroDivisionError)
    assert statuses(tracked_toy) == ["FAILED"]


def test_an_interrupt_exits_130_and_marks_the_run_failed(tracked_toy: Path) -> None:
    result = invoke("--params", outcome("interrupt"))
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr
    assert statuses(tracked_toy) == ["FAILED"]


def wrapped(cause: Exception) -> DatasetError:
    """What Kedro makes of an error while it loads a data set."""
    error = DatasetError(f"failed while loading data: {cause}")
    error.__cause__ = cause
    return error


def test_the_cause_counts_however_deep_it_lies() -> None:
    error = wrapped(wrapped(UserError("no column `dx`")))
    assert user_message(error, is_before_nodes=False) == "no column `dx`"


def test_a_lost_file_is_a_message_and_a_bug_is_not() -> None:
    assert "x.parquet" in (user_message(wrapped(FileNotFoundError("x.parquet")), is_before_nodes=False) or "")
    assert user_message(wrapped(TypeError("not JSON")), is_before_nodes=False) is None
    assert user_message(KeyError("x"), is_before_nodes=True) is None
    assert user_message(ValueError("shapes differ"), is_before_nodes=False) is None


def statuses(project: Path) -> list[str]:
    with sqlite3.connect(project / "mlflow.db") as store:
        return [status for (status,) in store.execute("select status from runs")]
