"""The permutation test of a gap: sizes, and its p-values where nothing sets the groups apart."""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.metrics.panel import Panel
from dermdit_kedro.metrics.permutation import gap_p_values, gap_values


def make_panel(rng, n=120, harder=False, seeds=1):
    codes = np.arange(n) % 3
    labels = rng.random(n) < 0.4
    strength = np.where(harder & (codes == 2), 0.0, 1.2)
    scores = rng.normal(size=(n, seeds)) + (strength * labels)[:, None]
    return Panel(labels, scores, scores > 0.6, np.arange(n), np.zeros((0, n)), pd.DataFrame(index=range(n))), codes


def p_values(panel, codes, num=99, seed=0):
    gaps = {name: float(value[0]) for name, value in gap_values(panel, codes[None], 3).items()}
    return gap_p_values(panel, codes, gaps, num, seed)


def test_a_planted_gap_is_rarely_matched_by_chance():
    panel, codes = make_panel(np.random.default_rng(0), n=600, harder=True, seeds=2)
    found = p_values(panel, codes, num=199)
    assert found["auc_gap"] == found["equal_opportunity_difference"] == pytest.approx(1 / 200)


@pytest.mark.parametrize("gap", ["auc_gap", "equalized_odds_difference", "demographic_parity_difference"])
def test_without_a_gap_p_values_are_as_small_as_they_say(gap):
    rng = np.random.default_rng(1)
    found = np.array([p_values(*make_panel(rng), num=39)[gap] for _ in range(300)])
    for level in (0.05, 0.2, 0.5):
        share, margin = np.mean(found <= level), 3 * np.sqrt(level * (1 - level) / 300) + 0.01
        assert share <= level + margin
        assert share >= level - margin - 0.06, "ties of small counts make it somewhat careful, not blind"


def test_selection_by_prevalence_is_a_demographic_gap_and_no_other():
    """Groups that differ in how many are ill differ in how many are called ill, and in nothing else."""
    rng, n = np.random.default_rng(2), 600
    codes = np.arange(n) % 2
    labels = rng.random(n) < np.where(codes == 0, 0.2, 0.6)
    scores = rng.normal(size=(n, 1)) + 2 * labels[:, None]
    panel = Panel(labels, scores, scores > 1, np.arange(n), np.zeros((0, n)), pd.DataFrame(index=range(n)))
    gaps = {name: float(value[0]) for name, value in gap_values(panel, codes[None], 2).items()}
    found = gap_p_values(panel, codes, gaps, 199, 0)
    assert found["demographic_parity_difference"] == pytest.approx(1 / 200)
    assert min(found["equalized_odds_difference"], found["auc_gap"]) > 0.05


def test_chunks_change_no_value(monkeypatch):
    panel, codes = make_panel(np.random.default_rng(3))
    first = p_values(panel, codes)
    assert first == p_values(panel, codes)
    assert set(first) == {
        "auc_gap", "equal_opportunity_difference", "equalized_odds_difference", "demographic_parity_difference",
    }  # fmt: skip
    monkeypatch.setattr("dermdit_kedro.metrics.permutation.CHUNK_CELLS", 10 * 120)
    small = p_values(panel, codes)
    assert all(0 < p <= 1 for p in small.values())


def test_images_of_one_cluster_are_dealt_out_together():
    """Ten lesions of ten images each tell no more than ten images: their gap is no finding."""
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(40), 10)
    codes, labels = (np.arange(40) % 2)[clusters], (np.arange(40) // 2 % 2 == 0)[clusters]
    found = []
    for _ in range(60):
        scores = (rng.normal(size=40)[clusters] + labels)[:, None]
        panel = Panel(labels, scores, scores > 0.5, clusters, np.zeros((0, 400)), pd.DataFrame(index=range(400)))
        gaps = {name: float(value[0]) for name, value in gap_values(panel, codes[None], 2).items()}
        found.append(gap_p_values(panel, codes, gaps, 39, 0)["auc_gap"])
    assert np.mean(np.array(found) <= 0.05) <= 0.15
