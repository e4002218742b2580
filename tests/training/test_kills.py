"""A run that is killed and started again, at any moment, ends at the bits of one that was left alone."""

import hashlib
import logging
import multiprocessing
import random
import re
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from tests.training.conftest import Train
from tests.training.toys import processes_of

from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import LaunchConfig

logger = logging.getLogger(__name__)

HERE = LaunchConfig()
STEPS = 60
LIBRARIES = ["accelerate", "dermdit_kedro.diffusion.denoisers", "dermdit_kedro.training.engine", "pandas"]
WRITING = re.compile(r"\.(step_\d+|best)\S*\.[0-9a-f]{8}\.tmp(\.old)?")


def start(job: Job) -> BaseProcess:
    """Start `python -m dermdit_kedro.diffusion.train <job>` in a process that has imported its libraries already.

    Anybody can run a job so, without Kedro: killed, it has no parent that could mend anything.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", str(job.folder)])
        options = {"run_name": "__main__", "alter_sys": False}
        process = context.Process(target=runpy.run_module, args=("dermdit_kedro.diffusion.train",), kwargs=options)
        process.start()
    return process


def kill_when(job: Job, moment: Callable[[], bool]) -> bool:
    """Start the job and kill it at a moment; whether it was still running then."""
    process = start(job)
    while process.is_alive() and not moment():
        time.sleep(0.0005)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def finish(job: Job) -> None:
    process = start(job)
    process.join()
    assert process.exitcode == 0


def is_writing(job: Job) -> bool:
    return any(WRITING.fullmatch(path.name) for path in job.checkpoints.iterdir())


def metrics_of(job: Job) -> str:
    """The losses as text: equal only bit for bit."""
    return str(job.metrics())


def weights_of(job: Job) -> dict[str, str]:
    files = sorted(job.result.rglob("*.safetensors"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def prepare(folder: Path, undisturbed: Job) -> Job:
    """Return the same job in another folder, untouched."""
    job = Job(folder / undisturbed.folder.name)
    shutil.copytree(undisturbed.folder / "inputs", job.folder / "inputs")
    shutil.copy(undisturbed.folder / "job.json", job.folder / "job.json")
    job.result.mkdir()
    job.checkpoints.mkdir()
    return job


@pytest.fixture
def undisturbed(tmp_path: Path, train: Train) -> Job:
    train(tmp_path / "undisturbed", HERE, max_train_steps=STEPS, checkpointing_steps=5, validation_steps=20)
    return Job(next((tmp_path / "undisturbed").iterdir()))


def check_kills(undisturbed: Job, tmp_path: Path, kills: int) -> None:
    """Kill one job after another, each once to three times, until that many kills hit; compare each when it is done.

    Every second kill is aimed at the writing of a state; the others fall anywhere in the measured length of a run.
    """
    trial = prepare(tmp_path / "trial", undisturbed)
    finish(trial)  # the first start waits for the libraries
    trial = prepare(tmp_path / "second_trial", undisturbed)
    began = time.monotonic()
    finish(trial)
    duration = time.monotonic() - began
    assert weights_of(trial) == weights_of(undisturbed)
    moments = random.Random(0)
    hit = during_write = round_ = 0
    while hit < kills:
        round_ += 1
        job = prepare(tmp_path / f"killed_{round_}", undisturbed)
        for _ in range(moments.randint(1, 3)):
            if hit == kills:
                break
            if hit % 2 == 0:
                states = moments.randint(0, 5)
                seen: set[str] = set()

                def moment(job: Job = job, seen: set[str] = seen, states: int = states) -> bool:
                    seen |= {path.name for path in job.checkpoints.glob(".step_*.tmp")}
                    return len(seen) > states and is_writing(job)

                was_running = kill_when(job, moment)
            else:
                end = time.monotonic() + moments.uniform(0, duration)
                was_running = kill_when(job, lambda end=end: time.monotonic() > end)
            hit += was_running
            during_write += was_running and is_writing(job)
            if not was_running:
                break
        finish(job)
        assert weights_of(job) == weights_of(undisturbed)
        assert metrics_of(job) == metrics_of(undisturbed)
        shutil.rmtree(job.folder)
    assert during_write > 0
    assert processes_of(tmp_path) == []
    logger.info("%s", f"{hit} kills, {during_write} of them while a state was being written, {round_} runs")


def test_three_kills_change_no_bit(undisturbed: Job, tmp_path: Path) -> None:
    check_kills(undisturbed, tmp_path, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_change_no_bit(undisturbed: Job, tmp_path: Path) -> None:
    check_kills(undisturbed, tmp_path, kills=50)
