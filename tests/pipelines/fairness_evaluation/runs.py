"""Runs of `--pipeline table2` in processes of their own, killed outright and started again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from tests.pipelines.data_engineering.runs import Runs

from dermdit_kedro.pipeline_registry import ARMS


class Table2Runs(Runs):
    """Runs of `table2`; a second one starts from nothing, or from the synthetic images."""

    pipeline = "table2"

    def __init__(self, project: Path, *, keep_upstream: bool) -> None:
        super().__init__(project, "test")
        self.keep_upstream = keep_upstream

    def forget(self) -> None:
        if not self.keep_upstream:
            super().forget()
            return
        work = self.data / "02_intermediate" / "work"
        made = [folder for arm in ARMS for folder in self.data.glob(f"0[678]*/{arm}")]
        for folder in (*made, *work.glob("train_classifier.*")):
            shutil.rmtree(folder)
        for name in ("table2.csv", "verdict.json", "arm_comparison.json"):
            (self.data / "08_reporting" / name).unlink(missing_ok=True)

    def outputs(self) -> list[pd.DataFrame]:
        reporting = self.data / "08_reporting"
        assert not list(self.data.glob("0[678]*/**/*.tmp"))
        tables = [pd.read_parquet(self.data / "07_model_output" / arm / "predictions.parquet") for arm in ARMS]
        texts = [(reporting / name).read_text() for name in ("table2.csv", "verdict.json", "arm_comparison.json")]
        return [*tables, pd.DataFrame({"text": texts})]


def survive(runs: Table2Runs, moments: Callable[[float], list[float]]) -> None:
    """Kill and restart at each moment of an undisturbed run; the table must come out the same."""
    duration = runs.finish()
    undisturbed = runs.outputs()
    for moment in moments(duration):
        after = runs.kill(moment)
        seconds = runs.finish()
        print(f"killed after {after:.0f} of {duration:.0f} s; the rerun took {seconds:.0f} s", flush=True)  # noqa: T201
        for table, expected in zip(runs.outputs(), undisturbed, strict=True):
            pd.testing.assert_frame_equal(table, expected)
