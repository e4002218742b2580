"""Nodes of prompting: instructions and audit here, captions, training and encoding as jobs."""

from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import Folder, ImageFolder, ModelFolder, TextEmbeddings, fingerprint_weights
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.parameters import ATTRIBUTES, PromptSetConfig, TextEncoderConfig, TextEncoderTraining

ENCODING_BATCH = 64
"""Prompts encoded at once; speed alone."""


def write_instructions(manifest: pd.DataFrame, prompt_set: PromptSetConfig) -> pd.DataFrame:
    """Write the instruction that each image's captioner is given.

    Args:
        manifest: The manifest.
        prompt_set: Which attributes to name.

    Returns:
        image_id, instruction, instruction_sha256.
    """
    from dermdit_kedro.prompts import instructions

    return instructions.write_instructions(manifest, prompt_set.attributes)


def generate_prompts(
    manifest: pd.DataFrame,
    images: ImageFolder,
    instructions: pd.DataFrame,
    prompt_set: PromptSetConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> pd.DataFrame:
    """Write a prompt for every image.

    Args:
        manifest: The manifest.
        images: The prepared images.
        instructions: What the captioner is told of each image.
        prompt_set: Who writes, and of which attributes.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        image_id, prompt, prompt_source, instruction_sha256; in the order of the manifest.
    """
    captioner = prompt_set.captioner
    looks = captioner.backend != "template" or captioner.describe_image
    requests = manifest[["image_id", "modality", *ATTRIBUTES]].merge(instructions, on="image_id", validate="1:1")
    if looks:
        requests = _with_files(requests, images)
    job = create_job(
        work_dir,
        "generate_prompts",
        "dermdit_kedro.prompts.captioners",
        config={
            "attributes": list(prompt_set.attributes),
            "captioner": captioner,
            "weights": fingerprint_weights(captioner.model),
        },
        inputs={"requests": requests, **({"images": images} if looks else {})},
    )
    launch(job, launch_config if captioner.backend != "template" else launch_config.alone())
    return pd.read_parquet(job.handle(Folder).path / "drafts.parquet")


def train_text_encoder(
    drafts: pd.DataFrame,
    images: ImageFolder,
    manifest: pd.DataFrame,
    text_encoder: TextEncoderConfig,
    text_encoder_training: TextEncoderTraining,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> ModelFolder:
    """Train the text encoder on the training rows alone, or adopt the one given.

    Args:
        drafts: Prompts of `five_attributes`.
        images: The prepared images.
        manifest: The manifest; only its `train` rows are learned from.
        text_encoder: Which text encoder.
        text_encoder_training: How it is trained.
        seed: Seed of the run.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        A folder with `text_encoder/` and `tokenizer/`.

    Raises:
        UserError: If there is no training row.
    """
    config: dict[str, Any] = {
        "text_encoder": text_encoder,
        "weights": fingerprint_weights(text_encoder.pretrained),
    }
    inputs: dict[str, ImageFolder | pd.DataFrame] = {}
    if text_encoder.pretrained is None:
        train = manifest.loc[manifest["split"] == "train", ["image_id"]]
        if train.empty:
            raise UserError(f"the split 'train' must hold at least one image; the manifest has {len(manifest)} rows")
        pairs = _with_files(train.merge(drafts[["image_id", "prompt"]], on="image_id", validate="1:1"), images)
        config |= {"training": text_encoder_training, "seed": seed}
        inputs = {"images": images, "pairs": pairs}
    job = create_job(work_dir, "train_text_encoder", "dermdit_kedro.prompts.text_encoder", config=config, inputs=inputs)
    launch(job, launch_config if text_encoder.pretrained is None else launch_config.alone())
    return job.handle(ModelFolder)


def audit_prompts(
    drafts: pd.DataFrame, manifest: pd.DataFrame, text_encoder_folder: ModelFolder, prompt_set: PromptSetConfig
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Check every prompt against the manifest and the text encoder's token limit.

    Args:
        drafts: The prompts.
        manifest: The manifest.
        text_encoder_folder: The text encoder, for its tokenizer.
        prompt_set: Which attributes the prompts were told to name.

    Returns:
        The prompts with token_count, truncated and audit flags; and the audit.
    """
    from dermdit_kedro.prompts import audit
    from dermdit_kedro.prompts.clip import load_tokenizer

    return audit.audit_prompts(drafts, manifest, load_tokenizer(text_encoder_folder.path), prompt_set.attributes)


def encode_prompts(
    prompts: pd.DataFrame, text_encoder_folder: ModelFolder, launch_config: LaunchConfig, work_dir: Path
) -> TextEmbeddings:
    """Encode each unique prompt once, the null prompt first.

    Args:
        prompts: The audited prompts.
        text_encoder_folder: The text encoder.
        launch_config: On which device it runs.
        work_dir: The folder of all work folders.

    Returns:
        The text embeddings.
    """
    job = create_job(
        work_dir,
        "encode_prompts",
        "dermdit_kedro.prompts.clip",
        config={},
        inputs={"text_encoder": text_encoder_folder, "prompts": prompts[["image_id", "prompt"]]},
        speed={"batch_size": ENCODING_BATCH},
    )
    launch(job, launch_config.alone())
    return job.handle(TextEmbeddings)


def _with_files(rows: pd.DataFrame, images: ImageFolder) -> pd.DataFrame:
    """Add `file`, relative to the image folder; every row must have one."""
    joined = rows.merge(images.index()[["image_id", "file"]], on="image_id", how="left", validate="1:1")
    missing = joined.loc[joined["file"].isna(), "image_id"]
    if len(missing):
        raise UserError(
            f"every image of the manifest must be among the prepared images: {len(missing)} are not, the first is "
            f"{missing.iloc[0]!r}. Run `kedro run --pipeline data_engineering` again"
        )
    return joined
