"""Agreement: counted on all images, unknown is not agreement, the judge's own accuracy beside it."""

import pandas as pd
import pytest

from dermdit_kedro.metrics.agreement import label_agreement, tone_agreement


def manifest(requested, measured):
    return pd.DataFrame({"requested_tone_group": requested, "tone_group": measured})


def test_tone_agreement_is_counted_by_what_was_asked_for():
    table = manifest(["light", "light", "dark", "dark", "dark"], ["light", "brown", "dark", "dark", "unknown"])
    result = tone_agreement(table, 0.95)
    assert result["overall"]["value"] == pytest.approx(3 / 5)
    assert result["overall"]["n"] == 5
    assert result["by_group"]["light"]["value"] == 0.5
    assert result["by_group"]["dark"]["value"] == pytest.approx(2 / 3)
    assert result["by_group"]["brown"] == {"value": None, "interval": None, "n": 0}


def test_a_generator_that_was_not_asked_cannot_agree():
    assert tone_agreement(manifest([None, None], ["light", "dark"]), 0.95) is None
    nothing = pd.Series([pd.NA, pd.NA], dtype="boolean")
    empty = pd.Series([], dtype="boolean")
    assert label_agreement(nothing, pd.Series([True, False]), empty, empty, "real", 0.95) is None


def test_label_agreement_stands_beside_the_judges_own_accuracy():
    requested = pd.Series([True, True, False, False, pd.NA], dtype="boolean")
    called = pd.Series([True, False, False, False, True])
    real_labels = pd.Series([True] * 2 + [False] * 8)
    real_called = pd.Series([True, False] + [False] * 8)
    result = label_agreement(requested, called, real_labels, real_called, "real", 0.95)
    assert result["overall"] == {"value": 0.75, "interval": result["overall"]["interval"], "n": 4}
    assert result["by_group"]["malignant"]["value"] == 0.5
    assert result["by_group"]["benign"]["value"] == 1
    assert result["judge_accuracy"]["value"] == 0.9
    assert result["judge_balanced_accuracy"]["value"] == 0.75
    low, high = result["judge_balanced_accuracy"]["interval"]
    assert 0 <= low < 0.75 < high <= 1


def test_a_judge_that_saw_one_label_alone_has_no_balanced_accuracy():
    labels = pd.Series([True, True])
    result = label_agreement(labels, labels, labels, labels, "real", 0.95)
    assert result["judge_balanced_accuracy"] == {"value": None, "interval": None, "n": 2}
