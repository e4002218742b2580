"""Tables never hold fewer rows than they should, and never another's numbers."""

import pytest

from dermdit_kedro.metrics.diagnosis import score_arm
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.metrics.tables import table1, table2

CONFIG = GroupFairnessConfig(num_resamples=100)


def image_metrics(variant):
    agreement = {"overall": {"value": 0.9, "interval": [0.8, 0.95], "n": 100}}
    return {
        "variant": variant,
        "image_size": 64,
        "frechet_distance": [
            {"name": "fd_x", "reference": "train", "value": 10.0, "floor": 3.0, "n_synthetic": 50, "n_real": 50}
        ],
        "kid": [{"name": "kid_x", "reference": "train", "value": 0.1, "std": 0.01}],
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
    assert table["tone_agreement"].isna().tolist() == [True, False]
    assert "ms_ssim_64px_kernel7_3scales_real" in table.columns


def test_table_1_refuses_another_variants_numbers():
    with pytest.raises(ValueError, match="every entry must name its variant"):
        table1({"dit": image_metrics("dermdit")})
    with pytest.raises(ValueError, match="Got none"):
        table1({})


def test_table_2_has_a_row_a_test_set_group_and_arm(make_predictions):
    arms = {}
    for arm in ("real", "synthetic"):
        table = make_predictions(seeds=(0,)).assign(arm=arm)
        arms[arm] = score_arm(table, {0: 0.5}, CONFIG, seed=0)
    table = table2(arms)
    assert len(table) == 1 * 4 * 2
    assert list(table["arm"][:2]) == ["real", "synthetic"]
    assert list(table["group"][::2]) == ["overall", "light", "brown", "dark"]
    assert (table["auc_low"] <= table["auc"]).all()


def test_table_2_refuses_arms_tested_on_different_sets(make_predictions):
    arms = {
        "real": score_arm(make_predictions(seeds=(0,)), {0: 0.5}, CONFIG, seed=0),
        "synthetic": score_arm(
            make_predictions(seeds=(0,), test_set="held_out").assign(arm="synthetic"), {0: 0.5}, CONFIG, seed=0
        ),
    }
    with pytest.raises(ValueError, match="same test sets"):
        table2(arms)
