"""Which images a classifier learns from: one row an example, with its folder, file, label and split."""

import numpy as np
import pandas as pd

from dermdit_kedro.dermoscopy.records import TONE_GROUPS
from dermdit_kedro.diagnosis.parameters import ArmConfig, LabelName
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder

REAL, SYNTHETIC = "images", "synthetic_images"
"""The two folders an example may lie in, by the name of a job's input."""

EXAMPLE_COLUMNS = ("folder", "file", "label", "split")


class TooFewImagesError(UserError):
    """An arm that cannot be trained, because too few synthetic images passed the screens."""


def real_examples(manifest: pd.DataFrame, images: ImageFolder, label_name: LabelName) -> pd.DataFrame:
    """List the real training and validation images whose label is known.

    Args:
        manifest: The manifest.
        images: The prepared images.
        label_name: The label to learn.

    Returns:
        Columns folder, file, label, split (train | val), tone_group; in the manifest's order.

    Raises:
        UserError: If the training rows lack one of the two labels.
    """
    rows = manifest[manifest["split"].isin(["train", "val"]) & manifest[label_name].notna()]
    rows = rows[["image_id", label_name, "split", "tone_group"]].rename(columns={label_name: "label"})
    examples = rows.merge(images.index()[["image_id", "file"]], on="image_id", validate="one_to_one")
    examples.insert(0, "folder", REAL)
    examples["label"] = examples["label"].astype(bool)
    counts = examples.loc[examples["split"] == "train", "label"].value_counts()
    if len(counts) < 2:
        raise UserError(
            f"a classifier needs training images of both values of {label_name!r}; the manifest has "
            f"{ {bool(k): int(v) for k, v in counts.items()} }. Read more images or choose another label_name"
        )
    return examples[[*EXAMPLE_COLUMNS, "tone_group"]]


def refuse_foreign(synthetic_manifest: pd.DataFrame, manifest: pd.DataFrame) -> None:
    """Refuse synthetic images of a generator that has learned from images which are not in the training split now.

    Args:
        synthetic_manifest: Column nearest_train_image_id: the nearest of the images that it learned from.
        manifest: The manifest.

    Raises:
        UserError: Naming one of those images and where it is now.
    """
    split = manifest.set_index("image_id")["split"]
    nearest = synthetic_manifest["nearest_train_image_id"].dropna()
    now = split.reindex(nearest).fillna("not in the manifest")
    odd = now[now != "train"]
    if len(odd):
        raise UserError(
            f"synthetic images must come from the training split of this manifest. {odd.index[0]!r}, which their "
            f"generator has learned from, is {odd.iloc[0]} now: what is tested on it would be trained on it too. "
            "Run the pipelines prompting, generative_training and synthesis again"
        )


def synthetic_examples(synthetic_manifest: pd.DataFrame) -> pd.DataFrame:
    """List the synthetic images that passed the screens, labelled with what was asked for.

    Args:
        synthetic_manifest: Columns kept, file, requested_is_malignant, requested_tone_group.

    Returns:
        Columns as those of `real_examples`; all in split train.
    """
    kept = synthetic_manifest[
        synthetic_manifest["kept"].astype(bool) & synthetic_manifest["requested_is_malignant"].notna()
    ]
    return pd.DataFrame(
        {
            "folder": SYNTHETIC,
            "file": kept["file"].to_numpy(),
            "label": kept["requested_is_malignant"].astype(bool).to_numpy(),
            "split": "train",
            "tone_group": kept["requested_tone_group"].to_numpy(),
        }
    )


def arm_examples(
    real: pd.DataFrame, synthetic: pd.DataFrame, arm: ArmConfig, label_name: LabelName, seed: int
) -> pd.DataFrame:
    """List what an arm trains and validates on; it always validates on the real validation rows.

    Args:
        real: As `real_examples` lists them.
        synthetic: As `synthetic_examples` lists them.
        arm: What the arm trains on.
        label_name: The label to learn.
        seed: Seed of the choices made here.

    Returns:
        Columns folder, file, label, split; an oversampled row occurs more than once.

    Raises:
        UserError: If the arm needs synthetic images of a label they were not made for.
        TooFewImagesError: If too few synthetic images were kept.
    """
    train, validation = real[real["split"] == "train"], real[real["split"] == "val"]
    parts = [train] if arm.real else []
    if arm.synthetic:
        parts.append(_take(synthetic, arm, label_name, len(train), seed))
    chosen = pd.concat(parts, ignore_index=True)
    if arm.oversample:
        chosen = oversample(chosen, seed)
    return pd.concat([chosen, validation], ignore_index=True)[list(EXAMPLE_COLUMNS)]


def _take(synthetic: pd.DataFrame, arm: ArmConfig, label_name: LabelName, num_real: int, seed: int) -> pd.DataFrame:
    """Take `synthetic_ratio` synthetic images per real one, or all."""
    if label_name != "is_malignant":
        raise UserError(f"synthetic images are asked for by is_malignant; they cannot teach {label_name!r}")
    wanted = len(synthetic) if arm.synthetic_ratio is None else round(arm.synthetic_ratio * num_real)
    if wanted > len(synthetic) or synthetic["label"].nunique() < 2:
        raise TooFewImagesError(
            f"the arm needs {max(wanted, 2)} synthetic images of both labels; {len(synthetic)} passed the screens "
            f"({int(synthetic['label'].sum())} malignant). Raise synthesis.num_images, train the generator longer or "
            "loosen a screen (`screening.json` counts what each screen set aside)"
        )
    return synthetic.sample(n=wanted, random_state=seed).sort_index()


def oversample(examples: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Repeat rows until every label x tone group has as many as the largest one.

    Rows of unknown tone are kept once: their group is not a group of people.

    Args:
        examples: Columns label and tone_group.
        seed: Seed of the choice of the rows that are repeated once more than their neighbours.

    Returns:
        The rows, some of them several times.
    """
    known = examples["tone_group"].isin(TONE_GROUPS)
    groups = examples[known].groupby(["label", "tone_group"], sort=True)
    cells = [np.asarray(rows, dtype="int64") for rows in groups.indices.values()]
    positions = np.flatnonzero(known.to_numpy())
    rng = np.random.default_rng(seed)
    largest = max((len(rows) for rows in cells), default=0)
    chosen = [np.flatnonzero(~known.to_numpy())]
    for rows in cells:
        more = rng.choice(len(rows), size=largest % len(rows), replace=False)
        chosen.append(positions[np.concatenate([np.tile(rows, largest // len(rows)), rows[more]])])
    return examples.iloc[np.concatenate(chosen)].reset_index(drop=True)
