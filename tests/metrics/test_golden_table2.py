"""The paper's Table 2 as golden numbers: from whole counts our functions give what it prints.

The counts are those that its recall and F1 allow (integer reconstruction); AUCs are the printed ones.
"""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.metrics.diagnosis import score_arm
from dermdit_kedro.metrics.group_fairness import score_groups
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.metrics.tables import table2

CONFIG = GroupFairnessConfig(num_resamples=100, num_permutations=19, attributes=("tone_group",), intersections=())
# test set, label, positives, negatives, then TP, FP, recall and F1 of the real and of the synthetic arm
ROWS = [
    ("ddi", "is_malignant", 171, 485, (12, 5, 0.070, 0.128), (108, 291, 0.632, 0.379)),
    ("ddi_a", "is_malignant", 49, 159, (2, 0, 0.041, 0.078), (32, 118, 0.653, 0.322)),
    ("ddi_b", "is_malignant", 74, 167, (6, 1, 0.081, 0.148), (48, 90, 0.649, 0.453)),
    ("ddi_c", "is_malignant", 48, 159, (4, 4, 0.083, 0.143), (28, 83, 0.583, 0.352)),
    ("isic_2018_test", "is_melanoma", 171, 1341, (36, 13, 0.211, 0.327), (145, 654, 0.848, 0.299)),
    ("fitzpatrick17k", "is_malignant", 2157, 2154, (168, 50, 0.078, 0.141), (908, 593, 0.421, 0.496)),
    ("derm7pt_dermoscopic", "is_melanoma", 252, 759, (60, 22, 0.238, 0.359), (170, 388, 0.675, 0.420)),
    ("derm7pt_clinical", "is_melanoma", 252, 759, (27, 10, 0.107, 0.187), (151, 386, 0.599, 0.383)),
    ("asan", "is_melanoma", 59, 793, (9, 21, 0.153, 0.202), (19, 202, 0.322, 0.136)),
    ("mclass_dermoscopic", "is_melanoma", 20, 80, (5, 2, 0.250, 0.370), (17, 42, 0.850, 0.430)),
    ("mclass_clinical", "is_melanoma", 20, 80, (5, 5, 0.250, 0.333), (7, 7, 0.350, 0.412)),
]
YARDSTICKS = {"ddi": 0.414, "ddi_a": 0.381, "ddi_b": 0.470, "ddi_c": 0.376, "isic_2018_test": 0.203,
              "fitzpatrick17k": 0.667, "derm7pt_dermoscopic": 0.399, "asan": 0.130,
              "mclass_clinical": 0.333}  # fmt: skip
ARMS = ("real", "synthetic")


def counted(arm, test_set, label_name, positives, negatives, tp, fp, tone="unknown", auc=0.5):
    """Return predictions with these counts and, of all pairs of a positive and a negative, this share in order."""
    n = positives + negatives
    label = np.arange(n) < positives
    called = np.where(label, np.arange(n) < tp, np.arange(n) - positives < fp)
    above, beyond = divmod(round(auc * positives * negatives), negatives)
    rank = np.full(positives, -1.0)
    rank[:above] = negatives
    if above < positives:
        rank[above] = beyond - 0.5
    score = np.concatenate([rank, np.arange(negatives)])
    return pd.DataFrame(
        {
            "image_id": [f"{test_set}/{tone}/{i}" for i in range(n)], "test_set": test_set, "split": "test",
            "duplicate_cluster": [f"{test_set}/{tone}/{i}" for i in range(n)], "arm": arm, "seed": 0,
            "label_name": label_name, "label": label, "called": called,
            "score": (score + 1) / (negatives + 2), "tone_group": tone, "sex": None, "age_approx": np.nan, "site": None,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def table():
    metrics = {}
    for arm, column in zip(ARMS, (4, 5), strict=True):
        parts = [counted(arm, name, label, p, n, *row[column][:2]) for row in ROWS for name, label, p, n in [row[:4]]]
        metrics[arm] = score_arm(pd.concat(parts), {"overall": [0.5]}, CONFIG, seed=0)
    frame = table2(metrics)
    return frame[frame["group"] == "overall"].set_index(["test_set", "arm"])


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("arm", ARMS)
def test_recall_and_f1_are_those_the_paper_prints(table, row, arm):
    tp, fp, recall, f1 = row[4 + ARMS.index(arm)]
    found = table.loc[(row[0], arm)]
    assert (found["n_positive"], found["n_negative"], found["label_name"]) == (row[2], row[3], row[1])
    assert round(found["recall"], 3) == recall
    assert round(found["f1"], 3) == f1
    assert found["precision"] == pytest.approx(tp / (tp + fp))


@pytest.mark.parametrize(("test_set", "f1"), YARDSTICKS.items())
def test_calling_everything_positive_has_this_f1(table, test_set, f1):
    assert round(table.loc[(test_set, "real"), "all_positive_f1"], 3) == f1


def test_the_three_tone_groups_add_up_to_ddi():
    for column in (4, 5):
        whole, *parts = [row[column][:2] for row in ROWS[:4]]
        assert tuple(np.sum(parts, axis=0)) == whole


@pytest.mark.parametrize(
    ("arm", "aucs", "gaps"),
    [
        ("real", (0.546, 0.651, 0.538), {"tpr": 0.042, "fpr": 0.025, "auc": 0.113, "worst": 0.538}),
        ("synthetic", (0.419, 0.593, 0.544), {"tpr": 0.070, "fpr": 0.220, "auc": 0.174, "worst": 0.419}),
    ],
)
def test_fairness_gets_worse_as_reconstructed(arm, aucs, gaps):
    parts = [
        counted(arm, "ddi", "is_malignant", *row[2:4], *row[4 + ARMS.index(arm)][:2], tone, auc)
        for row, tone, auc in zip(ROWS[1:4], ("light", "brown", "dark"), aucs, strict=True)
    ]
    found = score_groups(pd.concat(parts), CONFIG, seed=0)["attributes"]["tone_group"]["ddi"]
    false = [group["false_positive_rate"]["value"] for group in found["groups"].values()]
    # within what rounding the printed rates allows
    assert found["gaps"]["equal_opportunity_difference"]["value"] == pytest.approx(gaps["tpr"], abs=1e-3)
    assert np.ptp(false) == pytest.approx(gaps["fpr"], abs=1e-3)
    odds = found["gaps"]["equalized_odds_difference"]["value"]
    assert odds == pytest.approx(max(gaps["tpr"], gaps["fpr"]), abs=1e-3)
    assert found["gaps"]["auc_gap"]["value"] == pytest.approx(gaps["auc"], abs=1e-3)
    assert round(found["gaps"]["worst_group_auc"]["value"], 3) == gaps["worst"]
