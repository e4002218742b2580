"""Runs of a pipeline in processes of their own."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from tests.peak_memory import PeakMemory

from dermdit_kedro.handles import COMPLETE

OUTPUTS = ("03_primary/manifest.parquet", "03_primary/quarantine.parquet", "03_primary/images/index.parquet")


class Runs:
    """Runs of `data_engineering` in a project of their own."""

    pipeline = "data_engineering"

    def __init__(self, project: Path, env: str) -> None:
        self.project, self.env = project, env
        self.data = project / "data" / env

    def start(self, *options: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "kedro", "run", "--env", self.env, "--pipeline", self.pipeline, *options]
        return subprocess.Popen(command, cwd=self.project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, *options: str) -> float:
        """Run to the end and return the seconds it took."""
        begin = time.monotonic()
        run = self.start(*options)
        output, _ = run.communicate()
        assert run.returncode == 0, output[-3000:]
        return time.monotonic() - begin

    def kill(self, after_s: float) -> float:
        """Start from nothing and kill the run, with no chance to tidy up; one that ends before is killed earlier."""
        while True:
            self.forget()
            run = self.start()
            try:
                run.communicate(timeout=after_s)
            except subprocess.TimeoutExpired:
                run.kill()
                run.communicate()
                return after_s
            after_s /= 2

    def forget(self) -> None:
        """Remove everything that was made."""
        shutil.rmtree(self.data)

    def outputs(self) -> list[pd.DataFrame]:
        """Return manifest, quarantine and the index of the images, after a look at the images themselves."""
        images = self.data / "03_primary" / "images"
        tables = [pd.read_parquet(self.data / file) for file in OUTPUTS]
        assert (images / COMPLETE).is_file()
        assert {path.relative_to(images).as_posix() for path in images.rglob("*.png")} == set(tables[2]["file"])
        assert not list(self.data.glob("0[38]*/**/*.tmp"))
        return tables

    def peak_memory(self, *options: str) -> int:
        """Run to the end and return the most bytes that it and its workers had at one moment."""
        run = self.start(*options)
        with PeakMemory(run.pid) as memory:
            output, _ = run.communicate()
        assert run.returncode == 0, output[-3000:]
        return memory.peak
