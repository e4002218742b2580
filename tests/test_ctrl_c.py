"""Ctrl-C as a terminal sends it: to the run and all its processes at once. One line, status 130, nobody left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

GOES_ON = "Interrupted; the same command goes on from here (`kedro plan` with its options says what is left).\n"


def interrupt(project: Path, *arguments: str, at: str) -> tuple[int, str, list[int]]:
    """Run, send SIGINT to the whole process group at a line of the log, and return status, what followed, who is left.

    Args:
        project: The project.
        *arguments: Of `kedro`.
        at: What the line holds.

    Returns:
        Exit status; standard error from that line on; processes of the run that outlived it.
    """
    command = [sys.executable, "-c", START, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stderr is not None
        said = []
        for line in run.stderr:
            said.append(line)
            if at in line:
                break
        else:
            pytest.fail("".join(said))
        family = psutil.Process(run.pid).children(recursive=True)
        os.killpg(run.pid, signal.SIGINT)
        rest = run.stderr.read()
    psutil.wait_procs(family, timeout=10)
    return run.returncode, rest, [process.pid for process in family if process.is_running()]


START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background inherits that it is ignored
sys.argv[0] = "kedro"
from kedro.framework.cli import main
main()
"""


@pytest.mark.parametrize(
    "at",
    [
        "node 1 of 8: data_engineering.read_sources",  # MLflow has just started
        "node 2 of 8: data_engineering.inspect_images",  # worker processes
        "data_engineering.prepare_images",
    ],
)
def test_ctrl_c_in_data_nodes(tracked_project: Path, at: str) -> None:
    status, said, left = interrupt(tracked_project, "run", "--env", "test", "--pipelines", "data_engineering", at=at)
    assert status == 130, said
    assert said.endswith(GOES_ON)
    assert "Traceback" not in said
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "at",
    [
        "train_autoencoder: begun anew",
        "train the autoencoder: ",
        "dermdit.train_denoiser",
        "dermdit.sample_images",
        "synthetic.train_classifier",
        "node 55 of 55: fairness_evaluation.write_report",
    ],
)
def test_ctrl_c_later_on(tracked_project: Path, at: str) -> None:
    lasting = ("--params", "autoencoder_training.max_train_steps=4000") if at == "train the autoencoder: " else ()
    status, said, left = interrupt(tracked_project, "run", "--env", "test", *lasting, at=at)
    assert status == 130, said
    assert said.endswith(GOES_ON)
    assert "Traceback" not in said
    assert left == []
