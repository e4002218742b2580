"""The model card of a generator folder: what it is for, what it learned from, how well, and what it cannot do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
FREQUENT_PROMPTS = 3
"""How many prompts are shown; the most frequent ones, which are no single patient's."""


def count_sources(manifest: pd.DataFrame) -> dict[str, Any]:
    """Count the real images that a generator learns from.

    Args:
        manifest: Columns source, split, tone_group, is_malignant.

    Returns:
        Training and validation images, and training images by source, tone group and label; as JSON has it.
    """
    train = manifest[manifest["split"] == "train"]
    tones = sorted(train["tone_group"].unique())
    return {
        "num_train": len(train),
        "num_val": int((manifest["split"] == "val").sum()),
        "tones": tones,
        "sources": [
            {
                "name": str(name),
                "tones": {tone: int((rows["tone_group"] == tone).sum()) for tone in tones},
                "malignant": int(rows["is_malignant"].fillna(value=False).sum()),
            }
            for name, rows in train.groupby("source")
        ],
    }


def describe_data(manifest: pd.DataFrame, prompts: pd.DataFrame) -> dict[str, Any]:
    """Count what a generator learns from.

    Args:
        manifest: Columns source, split, tone_group, is_malignant.
        prompts: Columns image_id, prompt and prompt_source.

    Returns:
        Counts per source and tone group, who wrote the prompts, the most frequent ones; as JSON has it.
    """
    train = manifest[manifest["split"] == "train"]
    written = prompts[prompts["image_id"].isin(train["image_id"])]
    return {
        **count_sources(manifest),
        "writers": {str(name): float(share) for name, share in written["prompt_source"].value_counts(True).items()},
        "prompts": [str(prompt) for prompt in written["prompt"].value_counts().index[:FREQUENT_PROMPTS]],
    }


def describe_training(history: Mapping[str, Any], autoencoder_report: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a card says of the training.

    Args:
        history: `training_history`.
        autoencoder_report: `autoencoder_report`.

    Returns:
        Steps, losses, and per tone group of the held-out images the loss and the PSNR; as JSON has it.
    """
    last = history["validation"][-1] if history["validation"] else {}
    psnr = {name: entry["value"] for name, entry in autoencoder_report["by_tone_group"].items()}
    groups = sorted({key.removeprefix("loss_") for key in last if key.startswith("loss_")} | set(psnr))
    rows = [{"name": "all", "loss": last.get("loss"), "psnr": autoencoder_report["psnr"]["value"]}]
    rows += [{"name": name, "loss": last.get(f"loss_{name}"), "psnr": psnr.get(name)} for name in groups]
    return {
        "num_parameters": history["num_parameters"],
        "steps": history["steps"][-1] if history["steps"] else 0,
        "first_loss": history["first_loss"],
        "last_loss": history["last_loss"],
        "held_out": rows,
    }


def write_model_card(folder: Path, **facts: Any) -> None:
    """Write `README.md` of a generator folder, as model hubs read it.

    Args:
        folder: The generator folder.
        **facts: What the template names, from `describe_data`, `describe_training` and the settings.
    """
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        license="other", library_name="diffusers", pipeline_tag="text-to-image", tags=["dermoscopy", "skin-lesion"]
    )
    card = ModelCard.from_template(data, template_path=str(TEMPLATE), **facts)
    (folder / "README.md").write_text(card.content, encoding="utf-8")
