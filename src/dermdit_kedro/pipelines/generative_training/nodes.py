"""Nodes of generative_training: each writes a job and launches its child."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.diffusion.parameters import AutoencoderConfig, DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, Latents, ModelFolder, TextEmbeddings, fingerprint_weights
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.training.parameters import TrainingConfig


def _rows_to_learn_from(manifest: pd.DataFrame, images: ImageFolder) -> pd.DataFrame:
    """Return image_id, file, split, tone_group of the train and val images; no test image among them."""
    rows = manifest.loc[manifest["split"].isin(["train", "val"]), ["image_id", "split", "tone_group"]]
    joined = rows.merge(images.index()[["image_id", "file"]], on="image_id", how="inner", validate="one_to_one")
    if len(joined) != len(rows):
        raise UserError(
            f"every train and val image of the manifest must be among the prepared images: {len(rows) - len(joined)} "
            "are not. Run `kedro run --pipeline data_engineering` again"
        )
    for split in ("train", "val"):
        if not (joined["split"] == split).any():
            raise UserError(f"the split {split!r} must hold at least one image; the manifest has {len(manifest)} rows")
    return joined


def train_autoencoder(
    images: ImageFolder,
    manifest: pd.DataFrame,
    autoencoder: AutoencoderConfig,
    autoencoder_training: TrainingConfig,
    image_size: int,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> tuple[ModelFolder, dict[str, Any]]:
    """Train an autoencoder on the training images, or adopt the one given, trained further or as it is.

    Args:
        images: Prepared images.
        manifest: Their manifest.
        autoencoder: Which autoencoder.
        autoencoder_training: How it is trained.
        image_size: Side of the images.
        seed: Seed of the run.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        The autoencoder's folder, and its report: scaling factor, PSNR and Fréchet distance of the reconstructions of
        held-out images, over all and per tone group.
    """
    images.refuse_other_size(image_size)
    job = create_job(
        work_dir,
        "train_autoencoder",
        "dermdit_kedro.diffusion.autoencoder",
        config={
            "autoencoder": autoencoder, "training": autoencoder_training, "image_size": image_size, "seed": seed,
            "weights": fingerprint_weights(autoencoder.pretrained),
        },
        inputs={"images": images, "examples": _rows_to_learn_from(manifest, images)[["file", "split", "tone_group"]]},
    )  # fmt: skip
    launch(job, launch_config)
    report = json.loads((job.result / "report.json").read_text())
    return job.handle(ModelFolder), {**report, "history": _curve(job.metrics())}


def encode_latents(
    images: ImageFolder,
    manifest: pd.DataFrame,
    autoencoder_folder: ModelFolder,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> Latents:
    """Encode the train and val images once, as they are and mirrored.

    Args:
        images: Prepared images.
        manifest: Their manifest.
        autoencoder_folder: The autoencoder.
        launch_config: On which device it runs.
        work_dir: The folder of all work folders.

    Returns:
        Cached latents.
    """
    job = create_job(
        work_dir,
        "encode_latents",
        "dermdit_kedro.diffusion.latents",
        config={},
        inputs={
            "images": images, "autoencoder": autoencoder_folder,
            "examples": _rows_to_learn_from(manifest, images)[["image_id", "file"]],
        },
    )  # fmt: skip
    launch(job, launch_config.alone())
    return job.handle(Latents)


def train_denoiser(
    latents: Latents,
    text_embeddings: TextEmbeddings,
    manifest: pd.DataFrame,
    denoiser: DenoiserConfig,
    objective: ObjectiveConfig,
    denoiser_training: TrainingConfig,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> tuple[ModelFolder, dict[str, Any]]:
    """Train a denoiser to make images from prompts (section 2.2).

    Args:
        latents: Cached latents of the train and val images.
        text_embeddings: Encoded prompts of the variant's prompt set.
        manifest: The manifest; its `train` rows train and its `val` rows validate.
        denoiser: Architecture and size.
        objective: What it learns.
        denoiser_training: How it is trained.
        seed: Seed of the run.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        The denoiser's folder, and its history: losses, validation losses, number of parameters.

    Raises:
        UserError: If a training image has no prompt.
    """
    rows = latents.index().rename(columns={"row": "latent_row"})
    rows = rows.merge(manifest[["image_id", "split"]], on="image_id", validate="one_to_one")
    text = text_embeddings.index().rename(columns={"row": "text_row"})
    rows = rows.merge(text, on="image_id", how="left", validate="one_to_one")
    if denoiser.conditional and rows["text_row"].isna().any():
        missing = rows.loc[rows["text_row"].isna(), "image_id"]
        raise UserError(
            f"every training image must have a prompt: {len(missing)} have none, the first is {missing.iloc[0]!r}. "
            "Run `kedro run --pipeline prompting` again"
        )
    rows["text_row"] = rows["text_row"].fillna(0).astype("int64") if denoiser.conditional else 0
    job = create_job(
        work_dir,
        "train_denoiser",
        "dermdit_kedro.diffusion.train",
        config={"denoiser": denoiser, "objective": objective, "training": denoiser_training, "seed": seed},
        inputs={
            "latents": latents, "text_embeddings": text_embeddings,
            "examples": rows[["latent_row", "text_row", "split"]],
        },
    )  # fmt: skip
    launch(job, launch_config)
    folder = job.handle(ModelFolder)
    return folder, {"num_parameters": folder.num_parameters(), **_curve(job.metrics())}


def export_generator(
    denoiser_folder: ModelFolder,
    autoencoder_folder: ModelFolder,
    text_encoder_folder: ModelFolder,
    denoiser: DenoiserConfig,
    objective: ObjectiveConfig,
    sampler: SamplerConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> ModelFolder:
    """Put everything that sampling needs into one folder.

    Args:
        denoiser_folder: The trained denoiser.
        autoencoder_folder: The autoencoder.
        text_encoder_folder: The text encoder and its tokenizer.
        denoiser: Architecture of the denoiser.
        objective: What it learned; fixes the scheduler's noise schedule.
        sampler: The scheduler by name.
        launch_config: On which device it runs.
        work_dir: The folder of all work folders.

    Returns:
        A folder for `DermDiTPipeline.from_pretrained`.
    """
    job = create_job(
        work_dir,
        "export_generator",
        "dermdit_kedro.diffusion.export",
        config={"denoiser": denoiser, "objective": objective, "sampler": sampler},
        inputs={
            "denoiser": denoiser_folder, "autoencoder": autoencoder_folder, "text_encoder": text_encoder_folder
        },
    )  # fmt: skip
    launch(job, launch_config.alone())
    return job.handle(ModelFolder)


def _curve(metrics: list[dict[str, float]]) -> dict[str, Any]:
    """Turn the lines of `metrics.jsonl` into the curves of a report."""
    lines = [line for line in metrics if "loss" in line]
    validation = [line for line in metrics if "validation_loss" in line]
    return {
        "steps": [int(line["step"]) for line in lines],
        "loss": [line["loss"] for line in lines],
        "validation": [{"step": int(line["step"]), "loss": line["validation_loss"]} for line in validation],
        "first_loss": lines[0]["loss"] if lines else None,
        "last_loss": lines[-1]["loss"] if lines else None,
    }
