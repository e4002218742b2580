"""Nodes of generative_training: each writes a job and launches its child."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.diffusion import SAMPLES
from dermdit_kedro.diffusion.model_card import describe_data, describe_training
from dermdit_kedro.diffusion.parameters import AutoencoderConfig, DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, Latents, ModelFolder, TextEmbeddings, fingerprint_weights
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.report.summary import kind_of_data
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.precision import settle_precision


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
            "training": settle_precision(autoencoder_training, launch_config.device), "autoencoder": autoencoder,
            "weights": fingerprint_weights(autoencoder.pretrained), "image_size": image_size, "seed": seed,
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
    autoencoder_folder: ModelFolder,
    denoiser: DenoiserConfig,
    objective: ObjectiveConfig,
    denoiser_training: TrainingConfig,
    sampler: SamplerConfig,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> tuple[ModelFolder, dict[str, Any], ImageFolder]:
    """Train a denoiser to make images from prompts (section 2.2).

    Args:
        latents: Cached latents of the train and val images.
        text_embeddings: Encoded prompts of the variant's prompt set.
        manifest: The manifest; its `train` rows train and its `val` rows validate.
        autoencoder_folder: The autoencoder that made the latents; it decodes what is drawn on the way.
        denoiser: Architecture and size.
        objective: What it learns.
        denoiser_training: How it is trained.
        sampler: How pictures are drawn from now on; it changes nothing else, and what is drawn is not drawn again.
        seed: Seed of the run.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        The denoiser's folder; its history: losses, validation losses over all and by tone group, number of
        parameters; and sheets of pictures drawn during training, of the same prompts and noise, a row a tone group.

    Raises:
        UserError: If a training image has no prompt.
    """
    rows = latents.index().rename(columns={"row": "latent_row"})
    rows = rows.merge(manifest[["image_id", "split", "tone_group"]], on="image_id", validate="one_to_one")
    text = text_embeddings.index().rename(columns={"row": "text_row"})
    rows = rows.merge(text, on="image_id", how="left", validate="one_to_one")
    if denoiser.conditional and rows["text_row"].isna().any():
        missing = rows.loc[rows["text_row"].isna(), "image_id"]
        raise UserError(
            f"every training image must have a prompt: {len(missing)} have none, the first is {missing.iloc[0]!r}. "
            "Run `kedro run --pipeline prompting` again"
        )
    rows["text_row"] = rows["text_row"].fillna(0).astype("int64") if denoiser.conditional else 0
    training = settle_precision(denoiser_training, launch_config.device)
    job = create_job(
        work_dir,
        "train_denoiser",
        "dermdit_kedro.diffusion.train",
        config={"denoiser": denoiser, "objective": objective, "training": training, "seed": seed},
        inputs={
            "latents": latents, "text_embeddings": text_embeddings, "autoencoder": autoencoder_folder,
            "examples": rows[["latent_row", "text_row", "split", "tone_group"]],
        },
        speed={"sampler": sampler},
    )  # fmt: skip
    launch(job, launch_config)
    folder = job.handle(ModelFolder)
    history = {"num_parameters": folder.num_parameters(), **_curve(job.metrics())}
    return folder, history, ImageFolder(job.folder / SAMPLES, job.key)


def export_generator(
    denoiser_folder: ModelFolder,
    autoencoder_folder: ModelFolder,
    text_encoder_folder: ModelFolder,
    manifest: pd.DataFrame,
    prompts: pd.DataFrame,
    data_report: dict[str, Any],
    training_history: dict[str, Any],
    autoencoder_report: dict[str, Any],
    image_size: int,
    denoiser: DenoiserConfig,
    objective: ObjectiveConfig,
    sampler: SamplerConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
    variant: str,
) -> ModelFolder:
    """Put everything that sampling needs into one folder, with a model card.

    Args:
        denoiser_folder: The trained denoiser.
        autoencoder_folder: The autoencoder.
        text_encoder_folder: The text encoder and its tokenizer.
        manifest: The manifest, for the card.
        prompts: The variant's prompts, for the card.
        data_report: What the sources are, for the card.
        training_history: The denoiser's, for the card.
        autoencoder_report: Its errors, for the card.
        image_size: Side of the images.
        denoiser: Architecture of the denoiser.
        objective: What it learned; fixes the scheduler's noise schedule.
        sampler: The scheduler by name.
        launch_config: On which device it runs.
        work_dir: The folder of all work folders.
        variant: Name of the generator.

    Returns:
        A folder for `DermDiTPipeline.from_pretrained`.

    Raises:
        UserError: If the text encoder is not one of the width the denoiser learned from.
    """
    job = create_job(
        work_dir,
        "export_generator",
        "dermdit_kedro.diffusion.export",
        config={
            "denoiser": denoiser, "objective": objective, "sampler": sampler,
            "card": {"name": variant, "image_size": image_size, "shows": kind_of_data(data_report)}
            | describe_data(manifest, prompts) | describe_training(training_history, autoencoder_report),
        },
        inputs={
            "denoiser": denoiser_folder, "autoencoder": autoencoder_folder, "text_encoder": text_encoder_folder
        },
    )  # fmt: skip
    launch(job, launch_config.alone())
    return job.handle(ModelFolder)


def _curve(metrics: list[dict[str, float]]) -> dict[str, Any]:
    """Turn the lines of `metrics.jsonl` into the curves of a report."""
    lines = [line for line in metrics if "loss" in line]
    validation = [
        {"step": int(line["step"])}
        | {key.removeprefix("validation_"): value for key, value in line.items() if key.startswith("validation_loss")}
        for line in metrics
        if "validation_loss" in line
    ]
    return {
        "steps": [int(line["step"]) for line in lines],
        "loss": [line["loss"] for line in lines],
        "validation": validation,
        "best_step": min(validation, key=lambda line: line["loss"])["step"] if validation else None,
        "first_loss": lines[0]["loss"] if lines else None,
        "last_loss": lines[-1]["loss"] if lines else None,
    }
