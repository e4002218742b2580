"""Real processes: the same result in any number of them, one clear cause of a failure, and nobody left behind."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from tests.training.toys import write_srun

from dermdit_kedro.child_output import relay
from dermdit_kedro.child_process import compute_repeatably
from dermdit_kedro.jobs import Job, create_job
from dermdit_kedro.launching import LaunchConfig, LaunchError, launch, world

HERE = LaunchConfig()
ONE = LaunchConfig(launcher="accelerate")
TWO = LaunchConfig(launcher="accelerate", device="cpu", num_processes=2)
TWO_MACHINES = LaunchConfig(
    launcher="accelerate", device="cpu", num_machines=2, main_process_ip="127.0.0.1", timeout_s=120
)
PARENT = """
import signal, sys
from pathlib import Path
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import LaunchConfig, launch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background inherits that it is ignored
launch(Job(Path(sys.argv[1])), LaunchConfig.model_validate_json(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def child_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and its children import `launching_jobs`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def make(work_dir: Path, behaviour: str, **config: Any) -> Job:
    return create_job(work_dir, behaviour, "launching_jobs", config={"behaviour": behaviour, **config})


def result(job: Job) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((job.result / "result.json").read_text())
    return content


def wait_until(condition: Any, seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(job: Job) -> list[psutil.Process]:
    """Processes whose command line names the job's file: the foreman and its workers, never the parent."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and str(job.folder / "job.json") in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def parents() -> Iterator[list["subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for parent in started:
        parent.kill()
        with parent:  # waits, and closes its pipe
            pass


def interrupt(
    job: Job, config: LaunchConfig, number: int, parents: list["subprocess.Popen[str]"]
) -> "subprocess.Popen[str]":
    """Launch in a process of its own and send it a signal once all workers are in the middle of their work."""
    command = [sys.executable, "-c", PARENT, str(job.folder), config.model_dump_json()]
    parent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    parents.append(parent)
    wait_until(lambda: all((job.folder / f"waiting.{rank}").exists() for rank in range(config.world_size)))
    parent.send_signal(number)
    parent.wait(60)
    return parent


def test_in_process_and_two_processes_give_the_same_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    results = []
    for place, config in {"here": HERE, "two": TWO}.items():
        job = make(tmp_path / place, "add_tensors", then_fail=False)
        launch(job, config)
        results.append(result(job))
    assert results == [{"total": 328350}] * 2
    assert (job.folder / "started.1").exists()
    said = "tensors: 100 of 100 numbers"  # of the two processes the first alone speaks
    begun = [f"add_tensors: begun anew, in {processes}" for processes in ("1 process", "2 processes")]
    assert caplog.messages == [begun[0], said, begun[1], said]
    assert not (job.folder / "launch").exists()


def test_two_machines_that_meet_give_the_same_result_and_meet_again(tmp_path: Path) -> None:
    """One command a machine, both "machines" here; the second job fails on the one that joined."""
    command = [sys.executable, "-m", "dermdit_kedro.joining", str(tmp_path), "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as second:
        try:
            job = make(tmp_path, "add_tensors", then_fail=False)
            launch(job, TWO_MACHINES)
            failing = make(tmp_path, "add_tensors", then_fail=True)
            with pytest.raises(LaunchError, match="add_tensors failed in rank 1: ValueError: row 7 is not an image"):
                launch(failing, TWO_MACHINES)
        finally:
            second.terminate()
        said = second.communicate()[1]
    assert result(job) == {"total": 328350}
    assert (job.folder / "started.1").exists()
    assert said.count("INFO dermdit_kedro.joining: machine 1 joins add_tensors-") == 2
    assert said.endswith("this machine is no longer at the disposal of others\n")
    assert alive(job) == alive(failing) == []


def test_a_machine_that_does_not_come_ends_the_launch(tmp_path: Path) -> None:
    """And the launch leaves nothing behind that a machine that comes later could join."""
    with pytest.raises(LaunchError, match=r"2 machines did not meet at 127\.0\.0\.1:\d+ within 3 s"):
        launch(make(tmp_path, "add_tensors", then_fail=False), TWO_MACHINES.model_copy(update={"timeout_s": 3.0}))
    assert list(tmp_path.rglob("plan.json")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_prefix_command_ends_with_its_parent(
    tmp_path: Path, parents: list["subprocess.Popen[str]"], number: signal.Signals
) -> None:
    job = make(tmp_path, "wait")
    config = TWO_MACHINES.model_copy(update={"command_prefix": (str(write_srun(tmp_path)),)})
    interrupt(job, config, number, parents)
    wait_until(lambda: alive(job) == [], seconds=20)
    assert not job.is_complete


def test_a_prefix_command_says_which_machine_is_which(tmp_path: Path) -> None:
    config = TWO_MACHINES.model_copy(update={"command_prefix": ("nice",)})
    with pytest.raises(LaunchError, match=r"launch\.command_prefix must set one of SLURM_PROCID.* None is set"):
        launch(make(tmp_path, "add_squares"), config)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: python -m dermdit_kedro.joining <work folders> <machine rank>; got []"),
        (["nowhere", "1"], "at the same path on each machine. Got nowhere"),
        ([".", "0"], "must be 1 or more; the first runs Kedro. Got 0"),
    ],
)
def test_how_a_machine_does_not_join(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "dermdit_kedro.joining", *arguments]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert message in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_one_launched_process_logs_as_if_it_were_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    jobs = [make(tmp_path / place, "add_squares") for place in ("here", "one")]
    launch(jobs[0], HERE)
    launch(jobs[1], ONE)
    assert result(jobs[0]) == result(jobs[1])
    here, launched = caplog.record_tuples[:3], caplog.record_tuples[3:]
    assert here == launched
    assert not any(record.__dict__["markup"] for record in caplog.records[4:])
    assert "INFO launching_jobs: squares: 100 of 100 numbers [all]" in (jobs[1].folder / "launch.log").read_text()
    assert alive(jobs[1]) == []


def test_the_first_rank_that_failed_is_the_cause(tmp_path: Path) -> None:
    """Rank 0 fails too, for want of rank 1, and within the same second."""
    job = make(tmp_path, "add_tensors", then_fail=True)
    with pytest.raises(LaunchError) as failure:
        launch(job, TWO)
    first, second = str(failure.value).splitlines()
    assert first == "add_tensors failed in rank 1: ValueError: row 7 is not an image"
    assert second == f"(status 1; everything it printed is in {job.folder / 'launch.log'})"
    assert "Traceback" in (job.folder / "launch.log").read_text()
    assert not job.is_complete
    assert alive(job) == []


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("fail_user", "fail_user failed: column lesion_id is missing from manifest"),
        ("die", r"die failed: ended by signal 9 \(SIGKILL\), as the kernel does when memory runs out"),
    ],
)
def test_how_one_process_fails(tmp_path: Path, behaviour: str, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        launch(make(tmp_path, behaviour), ONE)


@pytest.mark.slow
def test_a_rank_that_does_not_answer_ends_the_launch(tmp_path: Path) -> None:
    job = make(tmp_path, "hang")
    with pytest.raises(LaunchError, match="hang failed in rank 0: a process did not answer within 5 s: it hangs, or"):
        launch(job, TWO.model_copy(update={"timeout_s": 5.0, "grace_s": 1.0}))
    assert alive(job) == []


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="No module named launching_job"):
        launch(create_job(tmp_path, "typo", "launching_job", config={}), ONE)


def test_a_failure_in_process_comes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 7 is not an image"):
        launch(make(tmp_path, "fail"), HERE)
    with pytest.raises(LaunchError, match="without finishing"):
        launch(make(tmp_path, "leave_unfinished"), HERE)


def test_a_killed_parent_takes_its_children_along(tmp_path: Path, parents: list["subprocess.Popen[str]"]) -> None:
    """And a rerun cleans up, completes the job, and is the last one."""
    job = make(tmp_path, "wait")
    interrupt(job, TWO, signal.SIGKILL, parents)
    wait_until(lambda: alive(job) == [], seconds=10)
    assert not job.is_complete
    assert len(list(job.result.glob(".half.*.tmp"))) == 2

    (job.folder / "go_on").touch()
    launch(job, HERE)
    assert job.is_complete
    assert sorted(path.name for path in job.result.iterdir()) == ["_complete.json", "result.json"]


def test_an_interrupted_launch_lets_the_child_clean_up(tmp_path: Path, parents: list["subprocess.Popen[str]"]) -> None:
    job = make(tmp_path, "wait")
    parent = interrupt(job, LaunchConfig(launcher="accelerate", grace_s=60), signal.SIGINT, parents)
    assert parent.returncode == 1
    assert "LaunchInterrupted: wait was interrupted (SIGINT)" in parent.communicate()[1]
    assert alive(job) == []
    assert list(job.result.iterdir()) == []


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, parents: list["subprocess.Popen[str]"]) -> None:
    job = make(tmp_path, "wait_deaf")
    parent = interrupt(job, LaunchConfig(launcher="accelerate", grace_s=0.5), signal.SIGTERM, parents)
    said = parent.communicate()[1]
    assert "did not end within 0.5 s" in said
    assert "LaunchInterrupted: wait_deaf was interrupted (SIGTERM)" in said
    wait_until(lambda: alive(job) == [], seconds=10)
    assert not job.is_complete


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_process_comes_as_an_exception(
    tmp_path: Path, parents: list["subprocess.Popen[str]"], number: signal.Signals
) -> None:
    job = make(tmp_path, "wait")
    parent = interrupt(job, HERE, number, parents)
    assert parent.returncode == 1
    assert f"LaunchInterrupted: wait was interrupted ({number.name})" in parent.communicate()[1]
    assert list(job.result.iterdir()) == []


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    launch(make(tmp_path, "add_squares"), HERE)
    with pytest.raises(ValueError, match="row 7"):
        launch(make(tmp_path, "fail"), HERE)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)] == before


def test_a_complete_job_is_not_run_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job = make(tmp_path, "fail")
    job.complete()
    launch(job, HERE)
    launch(job, TWO)
    assert not (job.folder / "started.0").exists()
    assert caplog.messages == ["fail: already complete, reused"] * 2


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (["checkpoints/step_00000020", "checkpoints/step_00001000"], "continued from step 1,000"),
        (["result/a.png"], "continued with what was finished"),
        (["captions.0.jsonl"], "continued with what was finished"),
        (["checkpoints/.step_00000020.0123abcd.tmp", "launch.log"], "begun anew"),
    ],
)
def test_a_job_says_where_it_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left: list[str], message: str
) -> None:
    caplog.set_level(logging.INFO)
    job = make(tmp_path, "add_squares")
    for name in left:
        (job.folder / name).mkdir()
    launch(job, HERE)
    assert caplog.messages[0] == f"add_squares: {message}, in 1 process"


def test_a_job_has_one_owner_at_a_time(tmp_path: Path, parents: list["subprocess.Popen[str]"]) -> None:
    job = make(tmp_path, "wait")
    command = [sys.executable, "-c", PARENT, str(job.folder), HERE.model_dump_json()]
    parents.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    wait_until((job.folder / "waiting.0").exists)
    with pytest.raises(LaunchError, match="another process is at work"):
        launch(job, HERE)


def test_what_a_child_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's run and the threads, but no world that the parent may itself be part of."""
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("WORLD_SIZE", "7")
    monkeypatch.setenv("MASTER_PORT", "1")
    job = make(tmp_path, "tell_environment")
    launch(job, LaunchConfig(launcher="accelerate", device="cpu"))
    told = result(job)["environment"]
    assert told["MLFLOW_RUN_ID"] == "0123"
    assert told["ACCELERATE_USE_CPU"].lower() == "true"
    assert told["OMP_NUM_THREADS"] == "3"
    assert told["RANK"] is told["WORLD_SIZE"] is told["MASTER_PORT"] is None


def run_by_hand(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "launching_jobs", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_a_job_can_be_run_by_hand(tmp_path: Path) -> None:
    job = make(tmp_path, "add_squares")
    outcome = run_by_hand(str(job.folder))
    assert outcome.returncode == 0, outcome.stderr
    assert result(job) == {"total": 328350}
    assert "INFO launching_jobs: squares: 100 of 100 numbers [all]" in outcome.stderr
    (job.folder / "started.0").unlink()
    assert run_by_hand(str(job.folder / "job.json")).returncode == 0
    assert not (job.folder / "started.0").exists()


def test_a_child_refuses_to_be_fewer_than_asked_for(tmp_path: Path) -> None:
    outcome = run_by_hand(str(make(tmp_path, "add_squares").folder), DERMDIT_WORLD_SIZE="2")
    assert outcome.returncode == 1
    assert outcome.stderr == "a job runs in as many processes as were asked for: asked for 2, got 1\n"


def test_a_child_without_a_job_says_how_it_is_used(tmp_path: Path) -> None:
    assert "usage: python -m launching_jobs <work folder or job.json>; got []" in run_by_hand().stderr
    outcome = run_by_hand(str(tmp_path))
    assert outcome.returncode == 1
    assert outcome.stderr == f"a work folder holds job.json; there is none in {tmp_path}\n"


def test_a_child_whose_foreman_is_gone_ends_at_once(tmp_path: Path) -> None:
    job = make(tmp_path, "add_squares")
    assert run_by_hand(str(job.folder), DERMDIT_FOREMAN_PID="1").returncode != 0
    assert not (job.folder / "started.0").exists()


def test_several_processes_need_a_launcher_and_several_machines_a_place_to_meet() -> None:
    both = "got num_processes=2; for several set both, as in --params launch.launcher=accelerate,launch.num_processes=2"
    with pytest.raises(ValidationError, match=f"launcher in_process runs 1 process, {both}"):
        LaunchConfig(num_processes=2)
    with pytest.raises(ValidationError, match="launcher in_process runs 1 process, got num_machines=2"):
        LaunchConfig(num_machines=2, main_process_ip="10.0.0.1")
    with pytest.raises(ValidationError, match=r"main_process_ip must be the address .* num_machines is 2. Got null"):
        LaunchConfig(launcher="accelerate", num_machines=2)


def test_work_for_one_leaves_the_other_machines_out() -> None:
    alone = TWO_MACHINES.model_copy(update={"num_processes": 4, "command_prefix": ("srun",)}).alone()
    assert (alone.launcher, alone.world_size, alone.command_prefix) == ("in_process", 1, ())


def test_gpus_that_are_not_there_are_refused(tmp_path: Path) -> None:
    import torch

    asked = torch.cuda.device_count() + 1
    config = LaunchConfig(launcher="accelerate", num_processes=asked, device="cuda")
    with pytest.raises(LaunchError, match=f"asked for {asked}, found {asked - 1}"):
        launch(make(tmp_path, "add_squares"), config)


def test_the_world_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert world() == (0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert world() == (3, 4)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("WARNING dermdit_kedro.a: [rank 1] b: c", ("dermdit_kedro.a", logging.WARNING, "[rank 1] b: c")),
        ("100%|####| 3/3 %s", ("dermdit_kedro.child_output", logging.DEBUG, "100%|####| 3/3 %s")),
    ],
)
def test_a_line_keeps_its_level_and_name(
    caplog: pytest.LogCaptureFixture, line: str, expected: tuple[str, int, str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="dermdit_kedro")
    relay(line)
    assert caplog.record_tuples == [expected]


def test_gpus_are_told_to_compute_repeatably(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        compute_repeatably()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.mark.parametrize("behaviour", ["add_squares", "fail"])
def test_a_job_in_this_process_gives_back_the_gpu_memory_it_used(behaviour, tmp_path, monkeypatch):
    import torch

    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    with suppress(LaunchError, RuntimeError, ValueError):
        launch(make(tmp_path, behaviour), HERE)
    assert emptied == [True]
