"""Classifiers trained as jobs, one a seed, and put into one folder.

Each in one process: batch normalisation sees the batch of its own process alone, so several would learn something else.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dermdit_kedro.atomic import write_json
from dermdit_kedro.diagnosis.classifier import UNTRAINED
from dermdit_kedro.diagnosis.examples import EXAMPLE_COLUMNS, REAL, real_examples
from dermdit_kedro.diagnosis.parameters import ClassifierConfig, ClassifierTraining
from dermdit_kedro.handles import Folder, ImageFolder, ModelFolder, fingerprint_weights
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.training.parameters import TrainingConfig


def train_seeds(
    work_dir: Path,
    name: str,
    *,
    examples: pd.DataFrame,
    folders: dict[str, ImageFolder],
    classifier: ClassifierConfig,
    training: TrainingConfig,
    balance: bool,
    image_size: int,
    seeds: Sequence[int],
    launch_config: LaunchConfig,
) -> ModelFolder:
    """Train one classifier a seed, each a job of its own, and put them into one folder.

    Args:
        work_dir: The folder of all work folders.
        name: What the jobs are called.
        examples: Columns folder, file, label, split.
        folders: The image folder of each value of the column `folder`.
        classifier: Architecture and first weights.
        training: Steps, batch, optimizer.
        balance: Whether the loss weighs the two labels alike.
        image_size: Side of the images in pixels.
        seeds: One for each classifier.
        launch_config: On which device they run.

    Returns:
        A folder with `seed_0/`, `seed_1/`, ... in the order of `seeds`.
    """
    for images in folders.values():
        images.refuse_other_size(image_size)
    used = {key: folder for key, folder in folders.items() if (examples["folder"] == key).any()}
    trained = {}
    for k, seed in enumerate(seeds):
        config = {
            "classifier": classifier, "training": training, "balance": balance, "image_size": image_size, "seed": seed,
            "weights": fingerprint_weights(classifier.pretrained),
        }  # fmt: skip
        inputs: dict[str, Folder | pd.DataFrame] = {**used, "examples": examples}
        job = create_job(work_dir, f"{name}.seed_{k}", "dermdit_kedro.diagnosis.train", config=config, inputs=inputs)
        launch(job, launch_config.alone())
        trained[f"seed_{k}"] = job.handle(ModelFolder)
    together = create_job(work_dir, name, "dermdit_kedro.diagnosis.train:seeds", config={}, inputs=trained)
    if not together.is_complete:
        for key, folder in trained.items():
            shutil.copytree(folder.path, together.result / key, dirs_exist_ok=True)
        together.complete()
    return together.handle(ModelFolder)


def train_on_real(
    work_dir: Path,
    name: str,
    images: ImageFolder,
    manifest: pd.DataFrame,
    classifier: ClassifierConfig,
    training: ClassifierTraining,
    *,
    image_size: int,
    seed: int,
    launch_config: LaunchConfig,
) -> ModelFolder:
    """Train one classifier on the real training images.

    Args:
        work_dir: The folder of all work folders.
        name: What the job is called.
        images: Prepared images.
        manifest: Their manifest; its train rows train, its val rows choose weights and threshold.
        classifier: Architecture, first weights and the label to learn.
        training: Epochs, batch, optimizer.
        image_size: Side of the images in pixels.
        seed: The classifier's.
        launch_config: Where it runs.

    Returns:
        A folder with `seed_0/`.
    """
    examples = real_examples(manifest, images, classifier.label_name)
    return train_seeds(
        work_dir,
        name,
        examples=examples[list(EXAMPLE_COLUMNS)],
        folders={REAL: images},
        classifier=classifier,
        training=training.for_images(int((examples["split"] == "train").sum())),
        balance=training.balance,
        image_size=image_size,
        seeds=[seed],
        launch_config=launch_config,
    )


def leave_untrained(work_dir: Path, name: str, reason: str) -> ModelFolder:
    """Return a folder that says why an arm has no classifier.

    Args:
        work_dir: The folder of all work folders.
        name: What the jobs of the arm are called.
        reason: Why it could not be trained.

    Returns:
        A folder with `untrained.json` alone.
    """
    job = create_job(work_dir, name, "dermdit_kedro.diagnosis.train:untrained", config={"reason": reason})
    if not job.is_complete:
        write_json(job.result / UNTRAINED, {"reason": reason})
        job.complete()
    return job.handle(ModelFolder)
