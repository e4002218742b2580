"""What benchmarks share: sizes of denoisers, and how figures are told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_benchmark.fixture import BenchmarkFixture

Race = Callable[..., dict[str, float]]
"""Lets contenders take turns, and returns the median seconds of each."""


@dataclass(frozen=True)
class Size:
    """How large a denoiser is, and what it is given."""

    width: int
    depth: int
    heads: int
    latent: int
    channels: int
    patch: int
    batch: int
    text: int


S4 = Size(width=384, depth=12, heads=6, latent=32, channels=4, patch=4, batch=16, text=77)
BASE = Size(width=192, depth=6, heads=4, latent=8, channels=8, patch=2, batch=64, text=20)
TOY = Size(width=32, depth=2, heads=2, latent=8, channels=4, patch=4, batch=4, text=9)


def say(benchmark: BenchmarkFixture, measuring: bool, figures: Mapping[str, float]) -> None:
    benchmark.extra_info.update(figures)
    if measuring:
        print("", *(f"{name:55} {value:8.3g}" for name, value in figures.items()), sep="\n")  # noqa: T201
