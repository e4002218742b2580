"""`--pipeline table2`, killed outright at any moment and started again, ends with the same table."""

import random
from pathlib import Path

import pytest
from tests.pipelines.fairness_evaluation.runs import Table2Runs, survive


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_table2_survives_kills_anywhere(tracked_project: Path) -> None:
    draw = random.Random(0)
    runs = Table2Runs(tracked_project, keep_upstream=False)
    survive(runs, lambda duration: [draw.uniform(3, duration) for _ in range(12)])
