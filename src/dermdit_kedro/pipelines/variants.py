"""What varies: the generators of Table 1 and the training sets of Table 2."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Variant:
    """A generator of Table 1; its network is the block `<name>.denoiser` in `conf/`.

    Attributes:
        name: Kedro namespace.
        prompt_set: The prompts it learns from; None for an unconditional generator.
    """

    name: str
    prompt_set: str | None

    @property
    def text_embeddings(self) -> str:
        """The prompt set whose embeddings are wired in; an unconditional variant reads its null prompt."""
        return self.prompt_set or "five_attributes"


GPU, SCORE, REPORT = "gpu", "score", "report"
"""Tags of nodes: what an accelerator speeds up; what computes the numbers from what was drawn and predicted; what only
draws and writes from those numbers. So `--tags score,report` trains nothing."""

MEASURE = [GPU, SCORE]
"""Tags of nodes that extract features and measure: `--tags score` finds what was extracted, and extracts anew of other
images, so that no number is of images that are gone."""

DEFAULT_VARIANT = "dermdit"
"""The variant that `kedro run` trains, and whose synthetic images the arms train on."""


def bind(function: Callable[..., Any], **names: str) -> Callable[..., Any]:
    """Bind a node function to a variant or an arm; it keeps its own name and its annotations, which Kedro reads.

    Args:
        function: Its last arguments are the names.
        **names: What they are.

    Returns:
        A function of the other arguments.
    """
    bound: Any = functools.partial(function, **names)
    bound.__name__, bound.__doc__ = function.__name__, function.__doc__
    bound.__annotations__ = {key: value for key, value in function.__annotations__.items() if key not in names}
    return bound  # type: ignore[no-any-return]


def named(by_name: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the entries `<owner>.<kind>` by owner."""
    return {name.rpartition(".")[0]: part for name, part in by_name.items() if name.endswith(f".{kind}")}
