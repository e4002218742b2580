"""How long commands take to start: the help, a run up to its first node, the page of Kedro-Viz.

`uv run pytest tests/benchmarks/test_start_up.py --benchmark-enable --benchmark-only -s` measures wall time beside CPU
time of the command and its children, warm (imported before), five times each. The suite runs each once.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psutil
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from tests.benchmarks.racing import say
from tests.browser import serving
from tests.conftest import copy_project

ROUNDS = 5
BOUND_S = 15.0
"""Seconds of wall time that a run may take to its first node on two cores with nothing beside it."""


def seconds_until(command: list[str], folder: Path, is_there: Callable[[str], bool]) -> tuple[float, float]:
    """Start a command, wait until a line it prints (or its end, as an empty line) will do, and end it.

    Args:
        command: What to run.
        folder: Where.
        is_there: Whether a line is the one waited for.

    Returns:
        Wall seconds, and CPU seconds of the command with its children.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if is_there(line):
                break
        else:
            assert is_there(""), "".join(said)[-2000:]
        return time.perf_counter() - start, cpu_seconds(process.pid)
    finally:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process, of its children and of those it has waited for; a zombie still knows its own."""
    main = psutil.Process(pid)
    family = [main, *main.children(recursive=True)] if main.status() != psutil.STATUS_ZOMBIE else [main]
    return sum(sum(one.cpu_times()[:4]) for one in family)


@pytest.fixture
def rounds(measuring: bool) -> int:
    return ROUNDS if measuring else 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


def report(benchmark: BenchmarkFixture, measuring: bool, name: str, taken: list[tuple[float, float]]) -> float:
    wall, cpu = (median(values) for values in zip(*taken, strict=True))
    say(benchmark, measuring, {f"{name}: wall s": wall, f"{name}: CPU s": cpu})
    return cpu


@pytest.mark.benchmark(group="start-up")
def test_help(benchmark: BenchmarkFixture, measuring: bool, rounds: int, folder: Path) -> None:
    taken: list[tuple[float, float]] = []

    def once() -> None:
        taken.append(seconds_until([sys.executable, "-m", "kedro", "--help"], folder, lambda line: not line))

    benchmark.pedantic(once, rounds=rounds)
    assert report(benchmark, measuring, "kedro --help", taken) < BOUND_S


@pytest.mark.benchmark(group="start-up")
@pytest.mark.parametrize("store", ["existing", "new"])
def test_first_node(
    benchmark: BenchmarkFixture, measuring: bool, rounds: int, folder: Path, mlflow_store: Path, store: str
) -> None:
    taken: list[tuple[float, float]] = []

    def once() -> None:
        (folder / "mlflow.db").unlink(missing_ok=True)
        if store == "existing":
            shutil.copy(mlflow_store, folder / "mlflow.db")
        command = [sys.executable, "-m", "kedro", "run", "--env", "test"]
        taken.append(seconds_until(command, folder, lambda line: "node 1 of" in line))

    benchmark.pedantic(once, rounds=rounds)
    cpu = report(benchmark, measuring, f"first node, {store} mlflow.db", taken)
    assert cpu < BOUND_S or store == "new"


@pytest.mark.benchmark(group="start-up")
@pytest.mark.parametrize("lite", [False, True], ids=["viz", "lite"])
def test_viz_answers(benchmark: BenchmarkFixture, measuring: bool, rounds: int, folder: Path, lite: bool) -> None:
    if not measuring:
        pytest.skip("how fast a server answers is measured, not tested; tests/documents runs it")
    taken: list[tuple[float, float]] = []

    def once() -> None:
        start = time.perf_counter()
        options = ["--no-browser", "--env", "test", *(["--lite"] if lite else [])]
        with serving(folder, "-m", "kedro", "viz", "run", *options):
            family = psutil.Process().children(recursive=True)
            taken.append((time.perf_counter() - start, sum(sum(one.cpu_times()[:2]) for one in family)))

    benchmark.pedantic(once, rounds=rounds)
    report(benchmark, measuring, f"kedro viz run{' --lite' if lite else ''}", taken)
