"""What share of a captioning server's own limit the client reaches, and what auditing and templates cost a prompt.

`uv run pytest tests/benchmarks/test_captioning.py --benchmark-enable --benchmark-only -s` measures; the suite runs
each once, on a few images.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from tests.prompts.captioning_server import CaptioningServer

from dermdit_kedro.prompts.captioners import Request
from dermdit_kedro.prompts.faults import asserted_by, find_faults
from dermdit_kedro.prompts.instructions import describe
from dermdit_kedro.prompts.parameters import CaptionerConfig, ServerConfig
from dermdit_kedro.prompts.server import ServerCaptioner

SLOTS, SERVICE_S, SIDE = 16, 0.2, 256
RECORD = {"is_malignant": True, "tone_group": "dark", "sex": "male", "age_approx": 60.0, "site": "trunk"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that compresses as badly as any."""
    path = tmp_path_factory.mktemp("images") / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[CaptioningServer]:
    """16 places, 0.2 s an answer: at most 80 answers a second."""
    service_s = SERVICE_S if request.config.getoption("benchmark_enable") else 0.01
    with CaptioningServer(slots=SLOTS, service_s=service_s) as server:
        yield server


def test_answers_of_a_server(
    benchmark: BenchmarkFixture, server: CaptioningServer, image: Path, request: pytest.FixtureRequest
) -> None:
    count = 800 if request.config.getoption("benchmark_enable") else 20
    config = ServerConfig(url=server.url, max_concurrency=SLOTS + 8)
    captioner = ServerCaptioner(CaptionerConfig(backend="openai_compatible", model="captioner", server=config))
    rounds = iter(range(100))

    def ask_all() -> None:
        number = next(rounds)
        requests = (Request("", {}, f"{number} {i}", image) for i in range(count))
        assert sum(bool(answer.text) for _, answer in captioner(requests)) == count

    benchmark.pedantic(ask_all, rounds=3)
    if benchmark.stats is not None:
        limit = count * server.service_s / SLOTS
        benchmark.extra_info["share_of_the_servers_limit"] = round(limit / benchmark.stats.stats.median, 3)


def test_faults_of_a_prompt(benchmark: BenchmarkFixture) -> None:
    prompt = f"{describe(RECORD)}, asymmetric, irregular border, light brown and dark brown, no blue-white veil"

    def judge() -> list[str]:
        asserted_by.cache_clear()
        return find_faults(prompt, RECORD)

    assert benchmark(judge) == []
