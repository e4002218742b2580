"""Generators of others: a folder that a text-to-image pipeline of diffusers saved, such as Stable Diffusion's.

Drawn from by the pipeline's own call, so that it draws here what it draws elsewhere.
"""

import inspect
import json
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
from torch import Tensor

from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.errors import UserError

INDEX: Final = "model_index.json"
OURS: Final = "DermDiTPipeline"
ASKED: Final = ("prompt", "negative_prompt", "guidance_scale", "num_inference_steps", "generator", "output_type")
"""What a pipeline's call must take."""


def read_index(folder: Path) -> dict[str, Any]:
    """Return what a pipeline's folder says of itself; empty where it is none."""
    file = folder / INDEX
    index: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return index


def load_given(folder: Path, dtype: torch.dtype) -> Any:
    """Load the pipeline of a folder that is not of this project.

    Args:
        folder: What its `save_pretrained` wrote.
        dtype: Precision of its networks.

    Returns:
        The pipeline.

    Raises:
        UserError: If diffusers has no such class, it draws from more than words, or a part of it is missing or would
            have to be unpickled.
    """
    index = read_index(folder)
    name = str(index.get("_class_name"))
    kind: Any = getattr(diffusers, name, None)
    is_pipeline = inspect.isclass(kind) and issubclass(kind, diffusers.DiffusionPipeline)
    if not is_pipeline:
        raise UserError(f"{folder / INDEX} must name a pipeline of diffusers, or {OURS}. Got {name!r}")
    takes = inspect.signature(kind.__call__).parameters
    lacks = [argument for argument in ASKED if argument not in takes]
    if lacks or "image" in takes:
        why = f"its call takes no {', '.join(lacks)}" if lacks else "it begins with an image"
        raise UserError(f"a generator must draw from a prompt alone. {name} in {folder} does not: {why}")
    parts = [part for part, named in index.items() if isinstance(named, list) and named[0] is not None]
    gone = [part for part in parts if not any((folder / part).glob("*"))]
    if gone:
        raise UserError(f"{folder} lacks {', '.join(gone)}, which its {INDEX} names: copy the whole folder")
    try:
        loader: Any = kind
        return loader.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"the generator in {folder} could not be loaded, from safetensors alone: {error}") from error


def draw_given(pipeline: Any, prompts: list[str], generators: list[torch.Generator], sampler: SamplerConfig) -> Tensor:
    """Draw by the pipeline's own call.

    Args:
        pipeline: From `load_given`.
        prompts: b texts.
        generators: One an image.
        sampler: Steps and guidance.

    Returns:
        Images in [0, 1], float32 (b, 3, h, w).

    Raises:
        UserError: If guidance is asked for a part of the steps.
    """
    if sampler.guidance_interval != (0.0, 1.0):
        raise UserError(
            f"sampler.guidance_interval must be [0, 1] for a {type(pipeline).__name__}, which guides every step. "
            f"Got {list(sampler.guidance_interval)}"
        )
    images: Tensor = pipeline(
        prompts,
        negative_prompt=[sampler.negative_prompt] * len(prompts),
        guidance_scale=sampler.guidance_scale,
        num_inference_steps=sampler.num_inference_steps,
        generator=generators,
        output_type="pt",
    ).images
    return images.float()
