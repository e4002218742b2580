"""Parameters of prompt sets and of the text encoder."""

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from dermdit_kedro.parameters import Parameters
from dermdit_kedro.training.parameters import TrainingConfig

Attribute = Literal["is_malignant", "tone_group", "sex", "age_approx", "site"]
"""A column of the manifest that a prompt may name; the paper's five (section 3.2)."""

ATTRIBUTES: tuple[Attribute, ...] = ("is_malignant", "tone_group", "sex", "age_approx", "site")
"""All attributes, in the order in which a prompt names them: what the image shows comes first."""


class CaptionerConfig(Parameters):
    """Who writes the prompts.

    Attributes:
        backend: `template` (deterministic, no model) or `transformers` (any image-text-to-text model that
            transformers serves, run on this machine).
        model: Hub id or local folder of the model; `transformers` only.
        revision: Commit of the hub repository; part of `prompt_source`.
        chat_template: Jinja chat template for a model folder that carries none.
        max_new_tokens: Longest answer, in the model's own tokens.
        batch_size: Images a forward pass; changes speed alone.
        describe_image: Whether `template` adds descriptors measured on the image by the ABCD rule.
    """

    backend: Literal["template", "transformers"] = "template"
    model: str | None = None
    revision: str | None = None
    chat_template: str | None = None
    max_new_tokens: int = Field(default=96, gt=0)
    batch_size: int = Field(default=8, gt=0)
    describe_image: bool = False
    speed_fields: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    @model_validator(mode="after")
    def _a_model_has_a_name(self) -> Self:
        if self.backend == "transformers" and not self.model:
            raise ValueError("captioner.model must name a hub id or a local folder when backend is `transformers`")
        if self.backend == "template" and self.model:
            raise ValueError(
                f"captioner.model is read by backend `transformers` only. Got {self.model!r} for `template`"
            )
        return self


class PromptSetConfig(Parameters):
    """One set of prompts: which attributes they name and who writes them.

    Attributes:
        attributes: Columns of the manifest, without repeats; unknown values are left out of the prompt.
        captioner: Who writes the prompts.
    """

    attributes: tuple[Attribute, ...] = Field(default=ATTRIBUTES, min_length=1)
    captioner: CaptionerConfig = CaptionerConfig()

    @field_validator("attributes")
    @classmethod
    def _each_once_in_order(cls, attributes: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
        if len(set(attributes)) != len(attributes):
            raise ValueError(f"attributes must not repeat. Got {list(attributes)}")
        return tuple(a for a in ATTRIBUTES if a in attributes)


class TextEncoderConfig(Parameters):
    """The text encoder: a pretrained CLIP, or a small one trained in the run.

    Attributes:
        pretrained: Hub id or local folder of a CLIP text encoder to adopt; null to train one. All sizes below
            are for the trained one.
        revision: Commit of the hub repository of `pretrained`.
        vocab_size: Upper bound of the tokenizer's vocabulary; at least the 514 of bytes and marks.
        max_length: Tokens a prompt may have, its two marks included.
        hidden_size: Width of the text embeddings.
        num_layers: Text layers.
        num_heads: Attention heads, text and vision.
        projection_dim: Width of the space in which texts and images meet.
        vision_image_size: Side, in pixels, to which images are resized for the vision tower.
        vision_patch_size: Side of a patch, in pixels; divides `vision_image_size`.
        vision_hidden_size: Width of the vision tower.
        vision_num_layers: Vision layers.
    """

    pretrained: str | None = None
    revision: str | None = None
    vocab_size: int = Field(default=1024, ge=514)
    max_length: int = Field(default=32, ge=8)
    hidden_size: int = Field(default=128, gt=0)
    num_layers: int = Field(default=2, gt=0)
    num_heads: int = Field(default=4, gt=0)
    projection_dim: int = Field(default=64, gt=0)
    vision_image_size: int = Field(default=64, gt=0)
    vision_patch_size: int = Field(default=8, gt=0)
    vision_hidden_size: int = Field(default=128, gt=0)
    vision_num_layers: int = Field(default=2, gt=0)

    @model_validator(mode="after")
    def _sizes_divide(self) -> Self:
        for name, whole, part in (
            ("hidden_size", self.hidden_size, self.num_heads),
            ("vision_hidden_size", self.vision_hidden_size, self.num_heads),
            ("vision_image_size", self.vision_image_size, self.vision_patch_size),
        ):
            if whole % part:
                raise ValueError(f"text_encoder.{name} must be a multiple of {part}. Got {whole}")
        return self


class TextEncoderTraining(TrainingConfig):
    """Contrastive training of the small text encoder; not read where one is adopted.

    A prompt is told apart from the others of its batch, so the batch is never worked in parts.
    """

    gradient_accumulation_steps: Literal[1] = 1
