"""An arm whose synthetic images did not pass the screens is reported as not trained; it stops nothing."""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.diagnosis.examples import TooFewImagesError, arm_examples
from dermdit_kedro.diagnosis.jobs import leave_untrained
from dermdit_kedro.diagnosis.parameters import ArmConfig
from dermdit_kedro.diagnosis.predict import predict
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.pipelines.fairness_evaluation.nodes import score_diagnosis, score_fairness


def _rows(n=40):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(n)], "file": [f"i{i}.png" for i in range(n)], "source": "s",
            "modality": "dermoscopic", "test_set": ["validation", "held_out"] * (n // 2),
            "split": ["val", "test"] * (n // 2),
            "duplicate_cluster": [f"c{i}" for i in range(n)], "tone_group": rng.choice(["light", "dark"], n),
            "sex": "male", "age_approx": 50.0, "site": "trunk", "label_name": "is_malignant",
            "label": rng.random(n) < 0.5,
        }
    )  # fmt: skip


def test_too_few_synthetic_images_are_one_error_of_their_own():
    real = pd.DataFrame({"folder": "images", "file": ["a", "b"], "label": [True, False], "split": "train"})
    real["tone_group"] = "light"
    with pytest.raises(TooFewImagesError, match="0 passed the screens"):
        arm_examples(real, real.iloc[:0], ArmConfig(real=False, synthetic=True), "is_malignant", 0)


def test_its_results_are_null_with_the_reason(tmp_path):
    folder = leave_untrained(tmp_path, "train_classifier.synthetic", "too few")
    predictions = predict(folder, _rows(), ImageFolder(tmp_path, "none"), "synthetic")
    assert len(predictions) == 40
    assert predictions["score"].isna().all()
    config = GroupFairnessConfig(min_positive=1, min_negative=1)
    overall = score_diagnosis(predictions, ArmConfig(), config, 0)["test_sets"]["held_out"]["overall"]
    assert overall["judgeable"] is False
    assert "could not be trained" in overall["reason"]
    assert overall["auc"] is None
    assert overall["n"] == 20
    groups = score_fairness(predictions, ArmConfig(), config, 0)["attributes"]["tone_group"]["held_out"]
    assert all(not group["judgeable"] for group in groups["groups"].values())
