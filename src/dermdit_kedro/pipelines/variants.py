"""What varies: the generators of Table 1 and the training sets of Table 2."""

from dataclasses import dataclass


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
