"""Each screen sets aside what it is for, nothing else, and every image has one verdict."""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.augmentation.parameters import ScreeningConfig
from dermdit_kedro.augmentation.screens import (
    REASONS,
    accusations,
    calibrate,
    give_reasons,
    halve,
    report_screening,
    share,
)

ALL_OFF = {name: {"enabled": False} for name in ScreeningConfig.model_fields}


def make_evidence(n: int, seed: int = 0) -> pd.DataFrame:
    """Evidence of images that show what was asked for."""
    rng = np.random.default_rng(seed)
    asked = pd.array(rng.random(n) < 0.5, dtype="boolean")
    tones = rng.choice(["light", "brown", "dark"], n)
    return pd.DataFrame(
        {
            "contrast": rng.uniform(20, 60, n),
            "nearest_distance": rng.uniform(0.3, 0.5, n),
            "relative_distance": rng.normal(0.8, 0.03, n),
            "hash_distance": rng.normal(90, 6, n).round().astype(int),
            "tone_group": tones,
            "requested_tone_group": tones,
            "requested_is_malignant": asked,
            "malignancy_margin": np.where(asked.to_numpy(dtype=bool), 0.3, -0.3),
        }
    )


def make_hashes(n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, 32), dtype=np.uint8)


@pytest.fixture
def thresholds():
    return calibrate(make_evidence(200, seed=9), ScreeningConfig())


BAD = {
    "blank": {"contrast": 1.0},
    "memorised": {"hash_distance": 2},
    "outlier": {"nearest_distance": 1.5},
    "tone": {"tone_group": "unknown"},
    "label": {"malignancy_margin": -0.4, "requested_is_malignant": True},
}


@pytest.mark.parametrize("reason", BAD)
def test_each_screen_finds_what_it_is_for(thresholds, reason):
    evidence = make_evidence(30)
    evidence["nearest_distance"] = 0.4
    evidence["relative_distance"] = 0.8
    for column, value in BAD[reason].items():
        evidence.loc[7, column] = value
    reasons = give_reasons(accusations(evidence, thresholds), make_hashes(30), thresholds)
    assert reasons.dropna().to_dict() == {7: reason}


@pytest.mark.parametrize("reason", BAD)
def test_a_screen_that_is_off_accuses_nobody(reason):
    names = {"memorised": "memorisation"}
    screening = ScreeningConfig.model_validate({names.get(reason, reason): {"enabled": False}})
    thresholds = calibrate(make_evidence(200, seed=9), screening)
    evidence = make_evidence(30).assign(**{k: v for k, v in BAD[reason].items() if k != "requested_is_malignant"})
    assert reason not in accusations(evidence, thresholds)
    assert (give_reasons(accusations(evidence, thresholds), make_hashes(30), thresholds) != reason).all()


def test_the_first_reason_is_given_and_verdicts_partition_the_images(thresholds):
    evidence = make_evidence(60).assign(relative_distance=0.8, hash_distance=90)
    evidence.loc[:9, ["contrast", "tone_group"]] = [0.5, "unknown"]
    evidence.loc[10:19, "tone_group"] = "unknown"
    hashes = make_hashes(60)
    hashes[30:35] = hashes[29]
    accused = accusations(evidence, thresholds)
    reasons = give_reasons(accused, hashes, thresholds)
    assert (reasons[:10] == "blank").all()
    assert (reasons[10:20] == "tone").all()
    report = report_screening(evidence, accused, reasons, accused, thresholds)
    assert report["n_kept"] + sum(report["reasons"].values()) == report["n_planned"] == 60
    assert report["reasons"]["duplicate"] == 5
    assert tuple(report["reasons"]) == REASONS
    assert sum(group["planned"] for group in report["by_group"]) == 60
    assert sum(group["kept"] for group in report["by_group"]) == report["n_kept"]


def test_of_duplicates_the_first_that_passes_is_kept(thresholds):
    evidence = make_evidence(6)
    evidence[["nearest_distance", "relative_distance"]] = [0.4, 0.8]
    evidence.loc[0, "contrast"] = 0.0
    hashes = np.repeat(make_hashes(1), 6, axis=0)
    reasons = give_reasons(accusations(evidence, thresholds), hashes, thresholds)
    assert reasons.fillna("kept").tolist() == ["blank", "kept", *["duplicate"] * 4]


def test_what_was_not_asked_for_accuses_nobody(thresholds):
    evidence = make_evidence(30).assign(requested_tone_group=None)
    evidence["requested_is_malignant"] = pd.array([None] * 30, dtype="boolean")
    evidence["malignancy_margin"] = 0.4
    accused = accusations(evidence, thresholds)
    assert not accused[["tone", "label"]].any(axis=None)
    report = report_screening(evidence, accused, pd.Series([None] * 30, dtype="object"), accused, thresholds)
    assert report["by_group"] == [{"tone_group": None, "is_malignant": None, "planned": 30, "kept": 30}]


def test_the_label_margin_forgives_what_is_near_the_threshold():
    evidence = make_evidence(30).assign(malignancy_margin=0.0)
    strict = calibrate(evidence, ScreeningConfig())
    lenient = calibrate(evidence, ScreeningConfig.model_validate({"label": {"margin": 0.1}}))
    benign = ~evidence["requested_is_malignant"].astype(bool)
    assert accusations(evidence, strict)["label"].equals(benign.rename("label"))
    assert not accusations(evidence, lenient)["label"].any()


def test_held_out_images_of_the_same_kind_are_rarely_accused(thresholds):
    accused = accusations(make_evidence(400, seed=3), thresholds)
    assert (accused.mean() <= 0.05).all()


def test_halves_are_even_disjoint_by_cluster_and_independent_of_order():
    clusters = pd.Series([f"c{i // 3}" for i in range(300)])
    half = halve(clusters)
    assert half.sum() == 150
    assert not set(clusters[half]) & set(clusters[~half])
    shuffled = clusters.sample(frac=1, random_state=0)
    assert halve(shuffled).sort_index().equals(half)


def test_a_share_comes_with_its_interval_and_n():
    found = share([True] * 2 + [False] * 98)
    assert found["value"] == 0.02
    assert found["n"] == 100
    assert found["interval"] == pytest.approx([0.0055, 0.0700], abs=1e-4)  # Wilson (1927)
    assert share([]) == {"value": None, "interval": None, "n": 0}


def test_calibration_without_held_out_images_is_refused_only_where_it_is_needed():
    nobody = make_evidence(0)
    with pytest.raises(ValueError, match="memorisation and outlier need held-out"):
        calibrate(nobody, ScreeningConfig())
    off = calibrate(nobody, ScreeningConfig.model_validate(ALL_OFF))
    reasons = give_reasons(accusations(make_evidence(5), off), make_hashes(5), off)
    assert reasons.isna().all()


@pytest.mark.parametrize(
    ("accused", "alarms", "n_real", "copies"),
    [(0, 0, 50, False), (40, 0, 50, True), (40, 1, 50, True), (2, 1, 50, False), (9, 0, 5, False), (40, 0, 0, None)],
)
def test_a_generator_copies_where_it_is_accused_more_often_than_chance_explains(
    thresholds, accused, alarms, n_real, copies
):
    evidence = make_evidence(100)
    synthetic = pd.DataFrame({"memorised": np.arange(100) < accused})
    real = pd.DataFrame({"memorised": np.arange(n_real) < alarms})
    none_aside = pd.Series([None] * 100, dtype="object")
    found = report_screening(evidence, synthetic, none_aside, real, thresholds)["memorisation"]
    assert found["copies"] is copies
    assert found["n_accused"] == accused
