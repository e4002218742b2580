"""A run that is killed outright, at any moment, and started again ends as if nothing had happened."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dermdit_kedro.handles import COMPLETE

WAYS = ([], ["--only-missing-outputs"])
OUTPUTS = ("03_primary/manifest.parquet", "03_primary/quarantine.parquet", "03_primary/images/index.parquet")


class Runs:
    """Runs of `data_engineering` in a project of their own."""

    def __init__(self, project: Path, env: str) -> None:
        self.project, self.env = project, env
        self.data = project / "data" / env

    def start(self, *options: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "kedro", "run", "--env", self.env, "--pipeline", "data_engineering", *options]
        return subprocess.Popen(command, cwd=self.project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, *options: str) -> float:
        """Run to the end and return the seconds it took."""
        begin = time.monotonic()
        run = self.start(*options)
        output, _ = run.communicate()
        assert run.returncode == 0, output[-3000:]
        return time.monotonic() - begin

    def kill(self, after_s: float) -> None:
        """Start from nothing and kill the run, with no chance to tidy up."""
        shutil.rmtree(self.data)
        run = self.start()
        time.sleep(after_s)
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()

    def outputs(self) -> list[pd.DataFrame]:
        """Return manifest, quarantine and the index of the images, after a look at the images themselves."""
        images = self.data / "03_primary" / "images"
        tables = [pd.read_parquet(self.data / file) for file in OUTPUTS]
        assert (images / COMPLETE).is_file()
        assert {path.relative_to(images).as_posix() for path in images.rglob("*.png")} == set(tables[2]["file"])
        assert not list(self.data.glob("0[38]*/**/*.tmp"))
        return tables


def survive(runs: Runs, moments: Callable[[float], list[float]]) -> None:
    """Kill and restart at each moment of an undisturbed run; everything must come out the same."""
    duration = runs.finish()
    undisturbed = runs.outputs()
    for number, moment in enumerate(moments(duration)):
        runs.kill(moment)
        seconds = runs.finish(*WAYS[number % 2])
        print(f"killed after {moment:.1f} of {duration:.1f} s; the rerun took {seconds:.1f} s")  # noqa: T201
        for table, expected in zip(runs.outputs(), undisturbed, strict=True):
            pd.testing.assert_frame_equal(table, expected)


def test_phantoms_survive_a_kill(tracked_project: Path) -> None:
    survive(Runs(tracked_project, "test"), lambda duration: [0.75 * duration])


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_ham10000_survives_twenty_kills(tracked_project: Path, root: Path, require: Callable[[Path], None]) -> None:
    folder = root / "data" / "01_raw" / "ham10000"
    require(folder)
    (tracked_project / "data" / "01_raw" / "ham10000").symlink_to(folder.resolve())
    draw = random.Random(0)
    survive(Runs(tracked_project, "ham10000"), lambda duration: [draw.uniform(3, duration) for _ in range(20)])
