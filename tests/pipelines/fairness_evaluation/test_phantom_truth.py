"""Does the verdict on 900 phantoms agree with what 6,000 others, drawn alike, make true?

Needs a finished `kedro run --pipeline table2` of `base`: its classifiers are tested again on new phantoms whose
label and tone are known.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dermdit_kedro.dermoscopy.phantom import record, render
from dermdit_kedro.dermoscopy.phantom_parameters import PhantomConfig
from dermdit_kedro.diagnosis.classifier import load_classifiers
from dermdit_kedro.diagnosis.thresholds import decide
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.metrics.arm_comparison import compare_arms
from dermdit_kedro.metrics.group_fairness import score_groups
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.pipeline_registry import ARMS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
NUM_IMAGES, TEST_SET = 6000, "phantom_even"
MEASURES = ("auc", "true_positive_rate", "false_positive_rate")
LEAN = GroupFairnessConfig(attributes=("tone_group",), intersections=(), num_resamples=100, num_permutations=19,
                           reference_groups={"tone_group": "light"})  # fmt: skip


@pytest.fixture(scope="module")
def run(root: Path) -> Path:
    """The data folder of a finished run."""
    if not (root / "data" / "08_reporting" / "table2.csv").is_file():
        pytest.skip("no finished run: `kedro run --pipeline table2` writes data/08_reporting/table2.csv")
    return root / "data"


@pytest.fixture(scope="module")
def calls(run: Path, root: Path) -> dict[str, pd.DataFrame]:
    """What every arm's classifiers call the new phantoms, at the thresholds of the run."""
    sources = yaml.safe_load((root / "conf/base/data_engineering/catalog.yml").read_text())["sources"]["sources"]
    options = {k: v for k, v in sources[TEST_SET].items() if k in PhantomConfig.model_fields}
    config = PhantomConfig(**{**options, "num_images": NUM_IMAGES, "seed": 12345})
    rows = pd.DataFrame([record(config, k) for k in range(NUM_IMAGES)])
    images = torch.stack([torch.from_numpy(render(config, k, 64).image).permute(2, 0, 1) for k in range(NUM_IMAGES)])
    new = pd.DataFrame(
        {
            "image_id": [f"new/{k}" for k in range(NUM_IMAGES)], "source": TEST_SET, "modality": "dermoscopic",
            "test_set": TEST_SET, "split": "test", "duplicate_cluster": rows["lesion_id"].astype(str),
            "label_name": "is_malignant", "label": rows["is_malignant"].astype(bool), "tone_group": rows["tone_group"],
            "sex": None, "age_approx": np.nan, "site": None,
        }
    )  # fmt: skip
    found = {}
    for arm in ARMS:
        old = pd.read_parquet(run / f"07_model_output/{arm}/predictions.parquet")
        parts = [old[old["split"] == "val"]]
        for classifier in load_classifiers(ModelFolder(run / f"06_models/{arm}/classifier", "")):
            scores = torch.cat([classifier.predict_proba(part) for part in images.split(256)]).double().numpy()
            parts.append(new.assign(arm=arm, seed=classifier.card.seed, score=scores))
        by = "tone_group" if arm == "real_group_thresholds" else None
        found[arm] = decide(pd.concat(parts, ignore_index=True), by)[0]
    return found


def read(run: Path, name: str) -> dict:
    return json.loads((run / "08_reporting" / name).read_text())


def test_what_is_called_better_or_worse_is_so(run: Path, calls: dict[str, pd.DataFrame]) -> None:
    truth = compare_arms(calls, "real", LEAN)
    for found in read(run, "verdict.json")["verdicts"]:
        if found["test_set"] == TEST_SET and found["question"] == "accuracy":
            true = truth["accuracy"][TEST_SET][found["arm"]]["overall"]["auc"]
            print(found["arm"], found["outcome"], found["evidence"], "truth", true["value"])  # noqa: T201
            if found["outcome"] != "cannot tell":
                assert np.sign(true["value"]) == {"better": 1, "worse": -1}[found["outcome"]]
                assert true["p_value"] < 0.05
    measured = read(run, "arm_comparison.json")["accuracy"][TEST_SET]
    held = [
        low <= truth["accuracy"][TEST_SET][arm]["overall"]["auc"]["value"] <= high
        for arm, groups in measured.items()
        if groups["overall"]["auc"]["interval"]
        for low, high in [groups["overall"]["auc"]["interval"]]
    ]
    assert all(held)


def test_groups_said_to_be_served_less_well_are(run: Path, calls: dict[str, pd.DataFrame]) -> None:
    held = []
    for arm in ARMS:
        true = score_groups(calls[arm], LEAN, seed=0)["attributes"]["tone_group"][TEST_SET]["differences"]
        measured = read(run, f"{arm}/group_fairness.json")["attributes"]["tone_group"][TEST_SET]["differences"]
        for group, measures in measured.items():
            for measure in MEASURES:
                cell, real = measures[measure], true[group][measure]
                told = f"{cell['value']:+.3f} {cell['interval']} finding: {cell['finding']}, truth {real['value']:+.3f}"
                print(arm, group, measure, told)  # noqa: T201
                if cell["finding"]:
                    assert np.sign(cell["value"]) == np.sign(real["value"])
                held.append(cell["interval"][0] <= real["value"] <= cell["interval"][1])
    assert np.mean(held) >= 0.85
