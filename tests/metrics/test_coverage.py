"""Do intervals hold the truth as often as they say, are planted effects found, and is nothing found where nothing is?

1,000 data sets with a known truth each; with 1,000, a share of 0.95 is known to within 0.014.
"""

import numpy as np
import pytest
from scipy.stats import norm

from dermdit_kedro.metrics import contrasts
from dermdit_kedro.metrics.contrasts import HITS, difference
from dermdit_kedro.metrics.intervals import area_interval

REPETITIONS = 1000
SEPARATION = 1.2
TRUE_AUC = norm.cdf(SEPARATION / np.sqrt(2))


def study(rng, n, copies=1, seeds=1, training_std=0.0, gain=0.0):
    """Return labels, clusters, and the scores of an arm and of the baseline.

    Half of a score's variance is the image's, the same for both arms; a third of it in clusters is the lesion's.
    A training moves the separation of positives by `training_std`; `gain` is what the arm is better by.
    """
    lesions = n // copies
    clusters = np.repeat(np.arange(lesions), copies)
    labels = np.repeat(rng.random(lesions) < 0.3, copies)
    of_lesion = np.repeat(rng.normal(size=(lesions, 1)), copies, axis=0)
    of_image = np.sqrt(0.4) * of_lesion + np.sqrt(0.1) * rng.normal(size=(n, 1))

    def scores(separation):
        own = separation + training_std * rng.normal(size=seeds)
        return of_image + np.sqrt(0.5) * rng.normal(size=(n, seeds)) + own * labels[:, None]

    return labels, clusters, scores(SEPARATION + gain), scores(SEPARATION)


def holds(interval, truth):
    return interval[0] <= truth <= interval[1]


@pytest.mark.parametrize(("n", "copies"), [(120, 1), (300, 1), (1000, 1), (400, 2)])
def test_the_interval_of_an_auc_holds_the_truth(n, copies):
    rng, held = np.random.default_rng(n), 0
    for _ in range(REPETITIONS):
        labels, clusters, scores, _ = study(rng, n, copies)
        found = contrasts.auc(labels, scores, np.ones(n, bool), clusters)
        units = [len(np.unique(clusters[here])) for here in (labels, ~labels)]
        held += holds(area_interval(found.values[0], found.covariance(clusters)[0, 0], *units, 0.95), TRUE_AUC)
    assert 0.93 <= held / REPETITIONS <= 0.97


@pytest.mark.parametrize(
    ("n", "copies", "seeds", "training_std", "most"),
    [
        (120, 1, 1, 0.0, 0.97),
        (300, 1, 1, 0.0, 0.97),
        (400, 2, 1, 0.0, 0.97),
        # between trainings that hardly differ, three are few to know it by: wider than need be
        (300, 1, 3, 0.0, 0.99),
        (300, 1, 3, 0.1, 0.98),
        (300, 1, 3, 0.3, 0.97),
        (300, 1, 5, 0.2, 0.97),
    ],
)
def test_the_interval_of_a_paired_auc_difference_holds_the_truth(n, copies, seeds, training_std, most):
    rng, held, false = np.random.default_rng(n + seeds), 0, 0
    for _ in range(REPETITIONS):
        labels, clusters, arm, base = study(rng, n, copies, seeds, training_std)
        everyone = np.ones(n, bool)
        parts = [contrasts.auc(labels, scores, everyone, clusters) for scores in (arm, base)]
        found = difference(parts[0] - parts[1], clusters, 0.95)
        held += holds(found["interval"], 0)
        false += found["p_value"] < 0.05
    assert 0.93 <= held / REPETITIONS <= most
    assert false / REPETITIONS <= 0.07


@pytest.mark.parametrize(
    ("n", "copies", "seeds", "most"), [(120, 1, 1, 0.97), (300, 1, 1, 0.97), (400, 2, 1, 0.97), (300, 1, 3, 0.99)]
)
def test_the_interval_of_a_signed_tpr_difference_holds_the_truth(n, copies, seeds, most):
    rng, held = np.random.default_rng(n * seeds), 0
    for _ in range(REPETITIONS):
        labels, clusters, _, scores = study(rng, n, copies, seeds)
        group = (np.random.default_rng(rng.integers(2**31)).random(clusters.max() + 1) < 0.35)[clusters]
        # the group's scores are lower by 0.5 where the lesion is positive
        hits = (scores - 0.5 * (group & labels)[:, None] >= 0.6).astype(float)
        truth = norm.sf(0.6 - SEPARATION + 0.5) - norm.sf(0.6 - SEPARATION)
        parts = [contrasts.mean_of(hits, mask & labels, clusters, HITS) for mask in (group, ~group)]
        held += holds(difference(parts[0] - parts[1], clusters, 0.95)["interval"], truth)
    assert 0.93 <= held / REPETITIONS <= most
