"""A captioning job of a few phantoms, as the node makes it."""

from pathlib import Path

import pandas as pd

from dermdit_kedro.handles import Folder, ImageFolder
from dermdit_kedro.jobs import Job, create_job
from dermdit_kedro.prompts.controls import add_controls
from dermdit_kedro.prompts.instructions import write_instructions
from dermdit_kedro.prompts.parameters import ATTRIBUTES, PromptSetConfig

DEFAULT = (Path(__file__).parents[2] / "conf" / "instructions" / "default.txt").read_text().strip()
"""The instruction that a prompt set is given if it names none."""


def caption_job(
    work_dir: Path, phantoms: tuple[pd.DataFrame, ImageFolder], prompt_set: PromptSetConfig, rows: int = 6
) -> Job:
    manifest, images = phantoms
    manifest = manifest.head(rows)
    written = write_instructions(manifest, prompt_set.attributes, DEFAULT, prompt_set.max_words)
    requests = manifest[["image_id", "modality", *ATTRIBUTES]].merge(written)
    requests = requests.merge(images.index()[["image_id", "file", "sha256"]], on="image_id")
    return create_job(
        work_dir,
        "generate_prompts",
        "dermdit_kedro.prompts.captioning",
        config={"prompt_set": prompt_set, "weights": None},
        inputs={"requests": add_controls(requests, prompt_set.control.num_images, seed=0), "images": images},
    )


def drafts_of(job: Job) -> pd.DataFrame:
    return pd.read_parquet(job.handle(Folder).path / "drafts.parquet")


def controls_of(job: Job) -> pd.DataFrame:
    return pd.read_parquet(job.handle(Folder).path / "controls.parquet")
