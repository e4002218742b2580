"""Nodes of prompting: instructions and audit here, captions, training and encoding as jobs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import Folder, ImageFolder, ModelFolder, TextEmbeddings, fingerprint_weights
from dermdit_kedro.jobs import create_job, fingerprint_table
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.instructions import check_template
from dermdit_kedro.prompts.parameters import (
    ATTRIBUTES,
    PromptSetConfig,
    RefinementConfig,
    TextEncoderConfig,
    TextEncoderTraining,
)
from dermdit_kedro.training.precision import settle_precision

ENCODING_BATCH = 64
"""Prompts encoded at once; speed alone."""


def refine_instruction(
    instruction_templates: Mapping[str, Callable[[], str]], instruction_refinement: RefinementConfig
) -> dict[str, str]:
    """Have a language model rewrite an instruction once, as the paper did (section 2.1).

    Args:
        instruction_templates: The texts in `conf/instructions` by name.
        instruction_refinement: Who rewrites which.

    Returns:
        The new text by the first 12 digits of its sha256, to be named as `instruction` of a prompt set.
    """
    from dermdit_kedro.prompts.refinement import refine

    return refine(_template(instruction_templates, instruction_refinement.instruction), instruction_refinement)


def write_instructions(
    manifest: pd.DataFrame, instruction_templates: Mapping[str, Callable[[], str]], prompt_set: PromptSetConfig
) -> pd.DataFrame:
    """Write the instruction that each image's captioner is given.

    Args:
        manifest: The manifest.
        instruction_templates: The texts in `conf/instructions` by name.
        prompt_set: Which text, and which attributes to name.

    Returns:
        image_id, instruction, instruction_sha256.
    """
    from dermdit_kedro.prompts import instructions

    template = _template(instruction_templates, prompt_set.instruction)
    return instructions.write_instructions(manifest, prompt_set.attributes, template, prompt_set.max_words)


def generate_prompts(
    manifest: pd.DataFrame,
    images: ImageFolder,
    instructions: pd.DataFrame,
    prompt_set: PromptSetConfig,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
    captions: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write a prompt for every image, repaired where the answer is of no use, and ask the controls.

    Args:
        manifest: The manifest.
        images: The prepared images.
        instructions: What the captioner is told of each image.
        prompt_set: Who writes, and of which attributes.
        seed: Seed of the run; draws the sample of the controls.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.
        captions: What the backend `table` takes the prompts from.

    Returns:
        The drafts, `captioning.DRAFT_COLUMNS` in the order of the manifest; and `captioning.CONTROL_COLUMNS`.
    """
    from dermdit_kedro.prompts.controls import add_controls

    captioner = prompt_set.captioner
    requests = manifest[["image_id", "modality", *ATTRIBUTES]].merge(instructions, on="image_id", validate="1:1")
    weights = fingerprint_weights(captioner.model)
    if captioner.backend == "table":
        assert captions is not None, "the pipeline sees to it"
        requests, weights = _with_captions(requests, captions, manifest), fingerprint_table(captions)
    if captioner.looks:
        requests = add_controls(_with_files(requests, images), prompt_set.control.num_images, seed)
    else:
        requests = requests.assign(control="")
    job = create_job(
        work_dir,
        "generate_prompts",
        "dermdit_kedro.prompts.captioning",
        config={"prompt_set": prompt_set, "weights": weights},
        inputs={"requests": requests, **({"images": images} if captioner.looks else {})},
    )
    launch(job, launch_config if captioner.backend == "transformers" else launch_config.alone())
    result = job.handle(Folder).path
    return pd.read_parquet(result / "drafts.parquet"), pd.read_parquet(result / "controls.parquet")


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
        pairs = pairs.drop(columns="sha256")
        config |= {"training": settle_precision(text_encoder_training, launch_config.device), "seed": seed}
        inputs = {"images": images, "pairs": pairs}
    job = create_job(work_dir, "train_text_encoder", "dermdit_kedro.prompts.text_encoder", config=config, inputs=inputs)
    launch(job, launch_config if text_encoder.pretrained is None else launch_config.alone())
    return job.handle(ModelFolder)


def audit_prompts(
    drafts: pd.DataFrame,
    controls: pd.DataFrame,
    manifest: pd.DataFrame,
    text_encoder_folder: ModelFolder,
    prompt_set: PromptSetConfig,
) -> tuple[pd.DataFrame, dict[str, Any], Any]:
    """Check every prompt against the manifest and the text encoder's token limit.

    Args:
        drafts: The prompts.
        controls: What the captioner said of other pictures.
        manifest: The manifest.
        text_encoder_folder: The text encoder, for its tokenizer.
        prompt_set: Which attributes the prompts were told to name.

    Returns:
        The prompts with token_count, truncated and audit flags; the audit; and its figure.
    """
    from dermdit_kedro.prompts import audit
    from dermdit_kedro.prompts.clip import load_tokenizer, prompt_limit, read_max_windows
    from dermdit_kedro.report.prompt_figure import prompt_audit_figure

    tokenizer = load_tokenizer(text_encoder_folder.path)
    limit = prompt_limit(tokenizer, read_max_windows(text_encoder_folder.path))
    prompts, report = audit.audit_prompts(drafts, controls, manifest, tokenizer, limit, prompt_set.attributes)
    return prompts, report, prompt_audit_figure(report)


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
        "dermdit_kedro.prompts.encoding",
        config={},
        inputs={"text_encoder": text_encoder_folder, "prompts": prompts[["image_id", "prompt"]]},
        speed={"batch_size": ENCODING_BATCH},
    )
    launch(job, launch_config.alone())
    return job.handle(TextEmbeddings)


def _with_captions(requests: pd.DataFrame, captions: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Add each image's caption."""
    from dermdit_kedro.prompts.caption_table import CAPTION, match_captions

    found = match_captions(captions, manifest).set_axis(manifest["image_id"])
    return requests.assign(**{CAPTION: found.loc[requests["image_id"]].to_numpy()})


def _with_files(rows: pd.DataFrame, images: ImageFolder) -> pd.DataFrame:
    """Add `file`, relative to the image folder, and `sha256`; every row must have one."""
    joined = rows.merge(images.index()[["image_id", "file", "sha256"]], on="image_id", how="left", validate="1:1")
    missing = joined.loc[joined["file"].isna(), "image_id"]
    if len(missing):
        raise UserError(
            f"every image of the manifest must be among the prepared images: {len(missing)} are not, the first is "
            f"{missing.iloc[0]!r}. Run `kedro run --pipeline data_engineering` again"
        )
    return joined


def _template(templates: Mapping[str, Callable[[], str]], name: str) -> str:
    """Return an instruction's text, or say which there are."""
    if name not in templates:
        known = ", ".join(sorted(templates))
        raise UserError(f"prompt_set.instruction must name a file in conf/instructions ({known}). Got {name!r}")
    return check_template(name, templates[name]())
