"""`--pipeline table2`, killed outright at any moment and started again, ends with the same table."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
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
    duration = runs.finish()
    undisturbed = runs.outputs()
    for moment in moments(duration):
        after = runs.kill(moment)
        seconds = runs.finish()
        print(f"killed after {after:.0f} of {duration:.0f} s; the rerun took {seconds:.0f} s", flush=True)  # noqa: T201
        for table, expected in zip(runs.outputs(), undisturbed, strict=True):
            pd.testing.assert_frame_equal(table, expected)


@pytest.mark.timeout(900)
def test_table2_survives_a_kill_while_it_trains_its_classifiers(tracked_project: Path) -> None:
    """Everything before is there; the start takes a tenth of a whole run, the rest a third."""
    survive(Table2Runs(tracked_project, keep_upstream=True), lambda duration: [0.2 * duration])


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_table2_survives_kills_anywhere(tracked_project: Path) -> None:
    draw = random.Random(0)
    runs = Table2Runs(tracked_project, keep_upstream=False)
    survive(runs, lambda duration: [draw.uniform(3, duration) for _ in range(12)])
