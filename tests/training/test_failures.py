"""Ten failures of a training: each ends with one message, leaves nobody behind, and the last good state goes on."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.full_disk import fail_to_write
from tests.training.conftest import Train
from tests.training.toys import draw_embeddings, processes_of

from dermdit_kedro.cli import user_message
from dermdit_kedro.handles import Latents, ModelFolder, TextEmbeddings
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.training.streams import stream_indices

HERE = LaunchConfig()
TWO = LaunchConfig(launcher="accelerate", device="cpu", num_processes=2, timeout_s=15, grace_s=5)
SHORT = {"max_train_steps": 6, "checkpointing_steps": 1}
LONG = {"max_train_steps": 300, "checkpointing_steps": 5}
BOUND = 60
"""Seconds within which a failure has to end the run."""

pytestmark = pytest.mark.timeout(200)


def failure_of(train: Train, work_dir: Path, config: LaunchConfig = HERE, **changes: int) -> str:
    """Train, and return the one message that `kedro run` would show of the failure."""
    began = time.monotonic()
    with pytest.raises(Exception) as failure:
        train(work_dir, config, **changes)
    assert changes == LONG or time.monotonic() - began < BOUND  # a long one fails later than it begins
    message = shown(failure.value)
    assert processes_of(work_dir) == []
    return message


def shown(error: BaseException) -> str:
    """Return what `kedro run` shows of an error, which is never a traceback."""
    message = user_message(error, is_before_nodes=False)
    assert message is not None, f"a traceback for the user: {error!r}"
    assert "Traceback" not in message
    return message


def weights(folder: ModelFolder) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.path.glob("*.safetensors")))


def job_in(work_dir: Path) -> Job:
    return Job(next(work_dir.glob("train_denoiser-*")))


def states_of(work_dir: Path) -> list[Path]:
    return sorted(work_dir.glob("train_denoiser-*/checkpoints/step_*"))


def check_rerun(train: Train, work_dir: Path, undisturbed: Path, **changes: int) -> None:
    """A rerun goes on from the last good state and ends at the bits of a run that was left alone."""
    assert states_of(work_dir)
    resumed, history = train(work_dir, HERE, **changes)
    whole, expected = train(undisturbed, HERE, **changes)
    assert weights(resumed) == weights(whole)
    assert history == expected


@contextmanager
def poisoned(latents: Latents) -> Iterator[None]:
    """Make one latent not a number: the last of the first epoch, so that the states after steps 1 to 3 are good."""
    file = latents.path / "moments.npy"
    good = np.load(file)
    bad = good.copy()
    bad[int(stream_indices(0, 27, 1, 28)[0])] = np.nan
    np.save(file, bad)
    yield
    np.save(file, good)


def test_a_loss_that_is_not_a_number(tmp_path: Path, train: Train, latents: Latents) -> None:
    with poisoned(latents):
        message = failure_of(train, tmp_path / "work", **SHORT)
    assert "the loss must be finite. Got nan at step 4" in message
    check_rerun(train, tmp_path / "work", tmp_path / "undisturbed", **SHORT)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, for those who may mount one."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_during_a_checkpoint(tmp_path: Path, train: Train, small_disk: Path) -> None:
    """The first state has room, the second has not."""
    train(tmp_path / "undisturbed", HERE, **SHORT)
    state = sum(file.stat().st_size for file in states_of(tmp_path / "undisturbed")[-1].iterdir())
    subprocess.run(["mount", "-o", f"remount,size={int(1.8 * state) + 100_000}", str(small_disk)], check=True)
    message = failure_of(train, small_disk / "work", **SHORT)
    assert "No space left on device" in message
    assert list(small_disk.rglob("*.tmp")) == []
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    check_rerun(train, small_disk / "work", tmp_path / "undisturbed", **SHORT)


@pytest.mark.slow
def test_a_file_that_may_not_grow(tmp_path: Path, train: Train) -> None:
    """The nearest to a full disk that takes no rights: a bound on the size of a file, in a process of its own."""
    train(tmp_path / "work", HERE, **SHORT)
    job = job_in(tmp_path / "work")
    shutil.rmtree(job.checkpoints)
    shutil.rmtree(job.result)
    (job.folder / "metrics.jsonl").unlink()
    job.checkpoints.mkdir()
    job.result.mkdir()
    assert "File too large" in fail_to_write(job.folder, "fill(100_000)")
    assert list(job.folder.rglob("*.tmp")) == []


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x40
    file.write_bytes(content)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "model.safetensors": _flip,
    "optimizer.safetensors": _cut,
    "ema.safetensors": lambda file: file.write_bytes(b""),
    "state.json": Path.unlink,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state(tmp_path: Path, train: Train, latents: Latents, name: str) -> None:
    """Either the one before is taken, or the message names the damaged one, and without it the run goes on."""
    with poisoned(latents):
        failure_of(train, tmp_path / "work", **SHORT)
    newest = states_of(tmp_path / "work")[-1]
    DAMAGES[name](newest / name)
    complaint = ""
    try:
        train(tmp_path / "work", HERE, **SHORT)
    except Exception as error:
        complaint = shown(error)
        shutil.rmtree(newest)
    assert newest.name in complaint or not complaint
    check_rerun(train, tmp_path / "work", tmp_path / "undisturbed", **SHORT)


def test_latents_that_are_cut_short(tmp_path: Path, train: Train, latents: Latents) -> None:
    file = latents.path / "moments.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    message = failure_of(train, tmp_path / "work", **SHORT)
    assert str(file) in message


def test_prompts_of_another_width_than_the_state(
    tmp_path: Path, train: Train, text_embeddings: TextEmbeddings, latents: Latents
) -> None:
    """The embeddings of a job were exchanged for another encoder's, under the same fingerprint."""
    with poisoned(latents):
        failure_of(train, tmp_path / "work", **SHORT)
    file = text_embeddings.path / "embeddings.safetensors"
    right = file.read_bytes()
    shutil.copy(draw_embeddings(tmp_path / "other", width=20).path / file.name, file)
    message = failure_of(train, tmp_path / "work", **SHORT)
    assert "12" in message
    assert "20" in message
    file.write_bytes(right)
    check_rerun(train, tmp_path / "work", tmp_path / "undisturbed", **SHORT)


def signal_second_rank(work_dir: Path, number: int) -> tuple[threading.Thread, list[float]]:
    """Send the second worker a signal once a state is written; return who does and, later, when it was done."""
    sent = []

    def wait_and_send() -> None:
        while not states_of(work_dir):
            time.sleep(0.05)
        for process in processes_of(work_dir):
            try:
                if process.environ().get("RANK") == "1":
                    process.send_signal(number)
                    sent.append(time.monotonic())
            except psutil.Error:
                continue

    thread = threading.Thread(target=wait_and_send, daemon=True)
    thread.start()
    return thread, sent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, r"failed in rank 1: ended by signal 9 \(SIGKILL\)"),
        (signal.SIGSTOP, "a process did not answer within 15 s"),
    ],
)
def test_a_rank_that_dies_or_hangs(tmp_path: Path, train: Train, number: signal.Signals, cause: str) -> None:
    thread, sent = signal_second_rank(tmp_path / "work", number)
    message = failure_of(train, tmp_path / "work", TWO, **LONG)
    assert time.monotonic() - sent[0] < BOUND
    thread.join()
    assert re.search(cause, message), message
    resumed_from = int(states_of(tmp_path / "work")[-1].name.removeprefix("step_"))
    assert 0 < resumed_from < LONG["max_train_steps"]
    _, history = train(tmp_path / "work", HERE, **LONG)
    _, expected = train(tmp_path / "undisturbed", HERE, **LONG)
    assert history["loss"] == pytest.approx(expected["loss"], abs=1e-5)


@pytest.mark.slow
def test_a_batch_that_does_not_split_over_the_processes(tmp_path: Path, train: Train) -> None:
    three = TWO.model_copy(update={"num_processes": 3, "timeout_s": 120.0})
    message = failure_of(train, tmp_path / "work", three, **SHORT)
    assert "multiple of the number of processes (3). Got 8" in message


def test_a_folder_that_is_read_only(tmp_path: Path, train: Train) -> None:
    work = tmp_path / "work"
    work.mkdir()
    if os.geteuid() != 0:
        work.chmod(0o500)
        message = failure_of(train, work, **SHORT)
        work.chmod(0o700)
    else:
        bind = subprocess.run(["mount", "--bind", str(work), str(work)], check=False, capture_output=True)
        if bind.returncode != 0:
            pytest.skip("root writes everywhere, and may not mount here")
        subprocess.run(["mount", "-o", "remount,bind,ro", str(work)], check=True)
        try:
            message = failure_of(train, work, **SHORT)
        finally:
            subprocess.run(["umount", "-l", str(work)], check=True)
    assert message.startswith(f"the work folder must be one that can be written to. Got {work}")


@pytest.mark.slow
def test_an_interrupt(tmp_path: Path, train: Train) -> None:
    train(tmp_path / "undisturbed", HERE, **LONG)
    job = Job(tmp_path / "work" / job_in(tmp_path / "undisturbed").folder.name)
    shutil.copytree(job_in(tmp_path / "undisturbed").folder / "inputs", job.folder / "inputs")
    shutil.copy(job_in(tmp_path / "undisturbed").folder / "job.json", job.folder)
    job.result.mkdir()
    job.checkpoints.mkdir()
    program = (
        "import signal, sys; from pathlib import Path; from dermdit_kedro.jobs import Job; "
        "from dermdit_kedro.launching import *\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try: launch(Job(Path(sys.argv[1])), LaunchConfig())\n"
        "except LaunchInterrupted as interrupt: sys.exit(str(interrupt))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(job.folder)], stderr=subprocess.PIPE, text=True
    ) as process:
        while not states_of(tmp_path / "work"):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=BOUND)[1]
    assert process.returncode == 1
    assert "train_denoiser was interrupted (SIGINT); what it had finished is kept" in said
    assert "Traceback" not in said
    assert processes_of(tmp_path / "work") == []
    assert not job.is_complete
    launch(job, HERE)
    check_rerun(train, tmp_path / "work", tmp_path / "undisturbed", **LONG)
