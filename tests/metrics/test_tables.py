"""Tables never hold fewer rows than they should, and never another's numbers."""

import numpy as np
import pytest

from dermdit_kedro.metrics.arm_comparison import compare_arms
from dermdit_kedro.metrics.diagnosis import score_arm
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.metrics.tables import mean_threshold, table1, table2

CONFIG = GroupFairnessConfig(num_resamples=100)


def image_metrics(variant):
    agreement = {"overall": {"value": 0.9, "interval": [0.8, 0.95], "n": 100}}
    return {
        "variant": variant,
        "image_size": 64,
        "frechet_distance": [
            {"name": "fd_x", "reference": "train", "value": 10.0, "floor": 3.0, "n_synthetic": 50, "n_real": 50}
        ],
        "autoencoder": {"frechet_distance": [{"name": "fd_x", "reference": "held_out", "value": 7.5}], "kid": []},
        "kid": [{"name": "kid_x", "reference": "train", "value": 0.1, "interval": [0.08, 0.12], "floor": 0.01}],
        "manifold": [{"name": "x", "reference": "train", "synthetic": {"precision": 0.7}}],
        "ms_ssim": {
            "name": "ms_ssim_64px_kernel7_3scales",
            "synthetic": {"value": 0.4, "interval": [0.3, 0.5], "n_pairs": 9},
            "real": {"value": 0.5, "interval": [0.4, 0.6], "n_pairs": 9},
        },
        "tone_agreement": None if variant == "dit" else agreement,
        "label_agreement": None,
    }


def test_table_1_has_a_row_a_variant_in_their_order():
    table = table1({name: image_metrics(name) for name in ("dit", "dermdit")})
    assert list(table["variant"]) == ["dit", "dermdit"]
    assert list(table["fd_x_train"]) == [10.0, 10.0]
    assert list(table["kid_x_train_floor"]) == [0.01, 0.01]
    assert list(table["fd_x_held_out_autoencoder"]) == [7.5, 7.5]
    assert list(table["precision_x_train"]) == [0.7, 0.7]
    assert table["tone_agreement"].isna().tolist() == [True, False]
    assert "ms_ssim_64px_kernel7_3scales_real" in table.columns


def test_a_label_of_a_variant_that_is_no_row_is_logged(caplog):
    table1({"dermdit": image_metrics("dermdit")}, {"dermdt": "DermDiT"})
    assert "report.variant_labels: dermdt is no row of Table 1, which has dermdit" in caplog.text


def test_table_1_refuses_another_variants_numbers():
    with pytest.raises(ValueError, match="every entry must name its variant"):
        table1({"dit": image_metrics("dermdit")})
    with pytest.raises(ValueError, match="Got none"):
        table1({})


@pytest.fixture
def arms(make_predictions, make_calls):
    scored = {}
    for arm in ("real", "synthetic"):
        table = make_calls(make_predictions(seeds=(0,), seed=len(arm)).assign(arm=arm))
        scored[arm] = score_arm(table, {"overall": [0.5]}, CONFIG, seed=0)
    return scored


def test_table_2_has_a_row_a_test_set_group_and_arm(arms):
    table = table2(arms)
    assert len(table) == 1 * 4 * 2
    assert list(table["arm"][:2]) == ["real", "synthetic"]
    assert list(table["group"][::2]) == ["overall", "light", "brown", "dark"]
    assert (table["auc_low"] <= table["auc"]).all()
    assert {"auc_low", "auc_high", "average_precision"} <= set(table)
    assert not table.columns.intersection(["average_precision_low", "average_precision_high"]).size


def test_table_2_refuses_arms_tested_on_different_sets(make_predictions, make_calls):
    arms = {
        "real": score_arm(make_calls(make_predictions(seeds=(0,))), {"overall": [0.5]}, CONFIG, seed=0),
        "synthetic": score_arm(
            make_calls(make_predictions(seeds=(0,), test_set="held_out").assign(arm="synthetic")),
            {"overall": [0.5]},
            CONFIG,
            seed=0,
        ),
    }
    with pytest.raises(ValueError, match="same test sets"):
        table2(arms)


def test_table_2_holds_the_differences_from_the_baseline(make_predictions, make_calls):
    calls = {
        arm: make_calls(make_predictions(seeds=(0, 1), separation=strength).assign(arm=arm))
        for arm, strength in (("real", 1.5), ("synthetic", 0.8))
    }
    metrics = {arm: score_arm(part, {"overall": [0.5, 0.5]}, CONFIG, seed=0) for arm, part in calls.items()}
    table = table2(metrics, compare_arms(calls, "real", CONFIG)).set_index(["group", "arm"])
    assert table.loc[("overall", "real"), "auc_difference"] is None or np.isnan(
        table.loc[("overall", "real"), "auc_difference"]
    )
    for measure in ("auc", "recall", "f1"):
        both = table.loc["overall"][measure]
        expected = both["synthetic"] - both["real"]
        assert table.loc[("overall", "synthetic"), f"{measure}_difference"] == pytest.approx(expected)


def test_a_threshold_of_the_groups_own_stands_in_its_row():
    thresholds = {"overall": [0.4, 0.6], "by": "tone_group", "groups": {"dark": [0.2, 0.3]}}
    assert mean_threshold(thresholds, "dark") == pytest.approx(0.25)
    assert mean_threshold(thresholds, "light") == mean_threshold(thresholds, "overall") == pytest.approx(0.5)
    assert mean_threshold({**thresholds, "by": "sex"}, "dark") == pytest.approx(0.5)


def test_named_rows_come_first_and_a_row_that_is_not_there_is_said(arms, caplog):
    test_sets = table2(arms)["test_set"].unique()
    rows = {"Dark ones": f"{test_sets[-1]}, dark", "Nobody": "nowhere", "All": test_sets[0]}
    table = table2(arms, None, rows)
    assert list(table["label"].dropna().unique()) == ["Dark ones", "All"]
    assert list(table["label"].iloc[: 2 * len(arms)].unique()) == ["Dark ones", "All"]
    assert table.loc[table["label"] == "Dark ones", "group"].eq("dark").all()
    assert len(table) == len(table2(arms))
    assert "no row 'Nobody'" in caplog.text


def test_a_variant_is_called_what_the_user_calls_it():
    table = table1({"dit": image_metrics("dit"), "ldm": image_metrics("ldm")}, {"dit": "No condition, DiT"})
    assert list(table["label"]) == ["No condition, DiT", "ldm"]
