"""Fixtures of the benchmarks: one thread, and contenders that take turns."""

import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from tests.benchmarks.racing import Race


@pytest.fixture
def measuring(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("benchmark_enable"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def race(benchmark: BenchmarkFixture) -> Race:
    """Let contenders take turns; return the median seconds of each, of CPU time unless another clock is given."""

    def run(
        contenders: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
    ) -> dict[str, float]:
        seconds: dict[str, list[float]] = {name: [] for name in contenders}

        def one_round() -> None:
            for name, contender in contenders.items():
                start = clock()
                contender()
                seconds[name].append(clock() - start)

        benchmark.pedantic(one_round, rounds=rounds)
        return {name: median(values) for name, values in seconds.items()}

    return run
