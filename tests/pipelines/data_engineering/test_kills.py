"""A run that is killed outright, at any moment, and started again ends as if nothing had happened."""

import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tests.pipelines.data_engineering.runs import Runs

WAYS = ([], ["--only-missing-outputs"])


def survive(runs: Runs, moments: Callable[[float], list[float]]) -> int:
    """Kill and restart at each moment of an undisturbed run; everything must come out the same. Return how often."""
    duration = runs.finish()
    undisturbed = runs.outputs()
    survived = 0
    for number, moment in enumerate(moments(duration)):
        after = runs.kill(moment)
        seconds = runs.finish(*WAYS[number % 2])
        print(f"killed after {after:.1f} of {duration:.1f} s; the rerun took {seconds:.1f} s", flush=True)  # noqa: T201
        for table, expected in zip(runs.outputs(), undisturbed, strict=True):
            pd.testing.assert_frame_equal(table, expected)
        survived += 1
    return survived


def test_phantoms_survive_a_kill(tracked_project: Path) -> None:
    assert survive(Runs(tracked_project, "test"), lambda duration: [0.75 * duration]) == 1


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_ham10000_survives_twenty_kills(tracked_project: Path, root: Path, require: Callable[[Path], None]) -> None:
    folder = root / "data" / "01_raw" / "ham10000"
    require(folder)
    (tracked_project / "data" / "01_raw" / "ham10000").symlink_to(folder.resolve())
    draw = random.Random(0)
    runs = Runs(tracked_project, "ham10000")
    assert survive(runs, lambda duration: [draw.uniform(3, duration) for _ in range(20)]) == 20
