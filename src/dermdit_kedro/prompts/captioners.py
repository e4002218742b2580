"""Who writes the prompts, p = VLM(I, x) (equation 1): one signature, several backends.

A captioner takes requests and gives them back with their answers, in any order and as they come, so that a
server is kept busy and a model gets full batches.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dermdit_kedro.dermoscopy.images import read_rgb
from dermdit_kedro.prompts.instructions import describe
from dermdit_kedro.prompts.parameters import PromptSetConfig


@dataclass(frozen=True)
class Request:
    """One prompt asked for.

    Attributes:
        key: What the answer is kept under.
        record: The image's row: attributes and modality.
        instruction: What a model is told (the paper's I).
        image: Path of the prepared image; None for a captioner that does not look.
        noise_seed: Seed of the noise that is shown in place of the image; None for the image itself.
    """

    key: str
    record: Mapping[str, Any]
    instruction: str
    image: Path | None
    noise_seed: int | None = None

    def pixels(self) -> "NDArray[np.uint8] | None":
        """Return what is shown, RGB uint8 (h, w, 3), or None where there is nothing to look at."""
        if self.image is None:
            return None
        pixels: NDArray[np.uint8] = read_rgb(self.image)
        if self.noise_seed is None:
            return pixels
        return np.random.default_rng(self.noise_seed).integers(0, 256, pixels.shape, dtype=np.uint8)


@dataclass(frozen=True)
class Answer:
    """What came of one request.

    Attributes:
        text: The prompt as it was written, its spaces made single; empty where there is none.
        is_cut: Whether it ended at the longest length it may have.
        error: Why there is no answer; empty where there is one.
    """

    text: str
    is_cut: bool = False
    error: str = ""


class Captioner(Protocol):
    """The one signature of every backend."""

    @property
    def source(self) -> str:
        """What `prompt_source` says: `template`, or the model's name and revision."""

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        """Answer every request, in any order; a request that fails for good has an answer that says so."""


class TemplateCaptioner:
    """The deterministic captioner: attributes by the grammar, then descriptors measured on the image.

    Args:
        prompt_set: Which attributes to name; whether to look at the image.
    """

    def __init__(self, prompt_set: PromptSetConfig) -> None:
        self.prompt_set = prompt_set

    @property
    def source(self) -> str:
        """`template`."""
        return "template"

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        """Answer every request, in order."""
        for request in requests:
            words = [describe(request.record, self.prompt_set.attributes), *self._descriptors(request)]
            yield request, Answer(", ".join(words))

    def _descriptors(self, request: Request) -> list[str]:
        pixels = request.pixels() if self.prompt_set.captioner.describe_image else None
        if pixels is None:
            return []
        from dermdit_kedro.prompts.descriptors import measure

        descriptors = measure(pixels)
        return descriptors.words() if descriptors else []


def load_captioner(prompt_set: PromptSetConfig, device: Any = "cpu", fingerprint: str | None = None) -> Captioner:
    """Build the captioner of a prompt set.

    Args:
        prompt_set: Attributes and captioner.
        device: Where a model runs.
        fingerprint: Of the table of captions, for the backend that reads one.

    Returns:
        The captioner.

    Raises:
        UserError: If its model cannot be loaded or its server does not answer; before the first image.
    """
    config = prompt_set.captioner
    if config.backend == "template":
        return TemplateCaptioner(prompt_set)
    if config.backend == "table":
        from dermdit_kedro.prompts.caption_table import TableCaptioner

        return TableCaptioner(str(fingerprint))
    if config.backend == "transformers":
        from dermdit_kedro.prompts.local_model import TransformersCaptioner

        return TransformersCaptioner(config, device)
    from dermdit_kedro.prompts.server import ServerCaptioner

    return ServerCaptioner(config)
