"""Scores of trained classifiers, and what a group of them decides."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from dermdit_kedro.dermoscopy.images import ImageStack
from dermdit_kedro.diagnosis.classifier import UNTRAINED, load_classifiers
from dermdit_kedro.diagnosis.parameters import HELD_OUT, EvaluationConfig, LabelName
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.progress import Progress

BATCH_SIZE = 256
VALIDATION = "validation"
"""The test set name of the real validation rows."""

OTHER_LABEL: dict[LabelName, LabelName] = {"is_malignant": "is_melanoma", "is_melanoma": "is_malignant"}

ROW_COLUMNS = (
    "image_id", "source", "modality", "test_set", "split", "duplicate_cluster", "tone_group", "sex", "age_approx",
    "site",
)  # fmt: skip


def score_images(folder: ModelFolder, images: ImageFolder, files: Sequence[str]) -> pd.DataFrame:
    """Score images with every classifier of a folder.

    Args:
        folder: One classifier, or `seed_<k>/` for each of several.
        images: The image folder.
        files: Files of it, at the size the classifiers were trained on.

    Returns:
        Columns file, seed, score (calibrated, in [0, 1]); the files in their order, seed after seed.
    """
    stack, parts = ImageStack(images, list(files)), []
    for classifier in load_classifiers(folder):
        progress, scores = Progress("score images", len(files)), [np.empty(0)]
        for rows in torch.arange(len(files)).split(BATCH_SIZE) if len(files) else ():
            scores.append(classifier.predict_proba(stack[rows]).double().numpy())
            progress.advance(len(rows))
        parts.append(pd.DataFrame({"file": list(files), "seed": classifier.card.seed, "score": np.concatenate(scores)}))
    return pd.concat(parts, ignore_index=True)


def rows_to_predict(
    manifest: pd.DataFrame, images: ImageFolder, label_name: LabelName, evaluation: EvaluationConfig | None = None
) -> pd.DataFrame:
    """List the validation and test images whose label is known.

    Args:
        manifest: The manifest.
        images: The prepared images.
        label_name: The label that was learned; validation rows have it.
        evaluation: Test sets that are judged by the other label; none if not given.

    Returns:
        The columns of `predictions` that do not depend on a classifier, and `file`; `test_set` is `validation`,
        `held_out` (the test split of sources that train) or the name of a source that only tests.

    Raises:
        UserError: If `evaluation` names no test set.
    """
    rows = manifest[manifest["split"].isin(["val", "test"])]
    test_set = rows["source"].where(rows["role"] == "test", HELD_OUT).where(rows["split"] == "test", VALIDATION)
    known = set(test_set) - {VALIDATION}
    names: dict[str, LabelName] = evaluation.label_names if evaluation else {}
    if unknown := set(names) - known:
        raise UserError(f"evaluation.label_names must name test sets, {sorted(known)}. Got {sorted(unknown)}")
    name = test_set.map(lambda name: names.get(name, label_name))
    label = rows[label_name].where(name == label_name, rows[OTHER_LABEL[label_name]])
    rows = rows.assign(test_set=test_set, label_name=name, label=label)[label.notna()].astype({"label": bool})
    columns = [*ROW_COLUMNS, "label_name", "label"]
    return rows[columns].merge(images.index()[["image_id", "file"]], on="image_id", validate="one_to_one")


def predict(folder: ModelFolder, rows: pd.DataFrame, images: ImageFolder, arm: str) -> pd.DataFrame:
    """Return the table `predictions`: one row an image and seed.

    Args:
        folder: The arm's classifiers.
        rows: As `rows_to_predict` lists them.
        images: The prepared images.
        arm: The arm's name.

    Returns:
        The columns of `predictions`, in their order; of an arm that could not be trained every score is null.
    """
    if (folder.path / UNTRAINED).is_file():
        scores = pd.DataFrame({"file": rows["file"], "seed": 0, "score": np.nan})
    else:
        scores = score_images(folder, images, list(rows["file"]))
    table = scores.merge(rows, on="file", validate="many_to_one").assign(arm=arm)
    columns = [
        "image_id", "source", "modality", "test_set", "split", "duplicate_cluster", "arm", "seed", "label_name",
        "label", "score", "tone_group", "sex", "age_approx", "site",
    ]  # fmt: skip
    return table[columns]


def decide_together(scores: pd.DataFrame, thresholds: Mapping[int, float]) -> pd.Series:
    """Let all seeds decide as one: mean score against mean threshold.

    Args:
        scores: Columns file, seed, score.
        thresholds: Threshold by seed.

    Returns:
        bool by file, in the order of the files.
    """
    mean = scores.groupby("file", sort=False)["score"].mean()
    return mean >= float(np.mean([thresholds[int(seed)] for seed in scores["seed"].unique()]))
