"""Parameters of prompt sets and of the text encoder."""

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from dermdit_kedro.parameters import Parameters
from dermdit_kedro.training.parameters import TrainingConfig

Attribute = Literal["is_malignant", "tone_group", "sex", "age_approx", "site"]
"""A column of the manifest that a prompt may name; the paper's five (section 3.2)."""

ATTRIBUTES: tuple[Attribute, ...] = ("is_malignant", "tone_group", "sex", "age_approx", "site")
"""All attributes, in the order in which a prompt names them: what the image shows comes first."""


class ServerConfig(Parameters):
    """A server of chat completions as OpenAI's API has them: vLLM, llama.cpp, Ollama, or a hosted one.

    Where and how fast it answers enters no key: the same model on another machine is the same captioner.

    Attributes:
        url: Base address, such as `http://localhost:8000/v1`; images and instructions are sent to its host.
        api_key_variable: Environment variable that holds the key; null for a server that asks for none.
        max_concurrency: Requests under way at once.
        timeout_s: Seconds that one answer may take.
        max_attempts: Times one request is sent where the server is busy, fails or hangs up.
        max_failures: Requests in a row that may fail in all their attempts before the run ends.
    """

    url: str = Field(pattern=r"^https?://[^/\s@?#]+(/[^\s@?#]*)?$")
    api_key_variable: str | None = None
    max_concurrency: int = Field(default=16, gt=0)
    timeout_s: float = Field(default=120.0, gt=0)
    max_attempts: int = Field(default=6, gt=0)
    max_failures: int = Field(default=25, gt=0)
    speed_fields: ClassVar[frozenset[str]] = frozenset(
        {"url", "api_key_variable", "max_concurrency", "timeout_s", "max_attempts", "max_failures"}
    )


class CaptionerConfig(Parameters):
    """Who writes the prompts.

    Attributes:
        backend: `template` (deterministic, no model), `table` (the captions in the catalog entry
            `<prompt set>.captions`), `transformers` (any image-text-to-text model that transformers serves, run on
            this machine) or `openai_compatible` (a captioning server).
        model: Hub id or local folder of the model, or its name on the server; not for `template` and `table`.
        revision: Commit of the hub repository; part of `prompt_source`.
        server: Where `openai_compatible` finds its server.
        chat_template: Jinja chat template for a model folder that carries none.
        max_new_tokens: Longest answer, in the model's own tokens.
        batch_size: Images a forward pass; changes speed alone.
        describe_image: Whether `template` adds descriptors measured on the image by the ABCD rule.
    """

    backend: Literal["template", "table", "transformers", "openai_compatible"] = "template"
    model: str | None = None
    revision: str | None = None
    server: ServerConfig | None = None
    chat_template: str | None = None
    max_new_tokens: int = Field(default=96, gt=0)
    batch_size: int = Field(default=8, gt=0)
    describe_image: bool = False
    speed_fields: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    @property
    def is_model(self) -> bool:
        """Whether a model writes, which may be asked again."""
        return self.backend not in ("template", "table")

    @property
    def looks(self) -> bool:
        """Whether the image is looked at to write the prompt."""
        return self.is_model or self.describe_image

    @model_validator(mode="after")
    def _a_model_has_a_name(self) -> Self:
        if self.is_model and not self.model:
            raise ValueError(
                "captioner.model must name a hub id or a local folder (`transformers`) or the server's name of the "
                f"model (`openai_compatible`). Got none for backend {self.backend!r}"
            )
        if not self.is_model and self.model:
            raise ValueError(f"captioner.model is not read by backend `{self.backend}`. Got {self.model!r}")
        if self.backend != "template" and self.describe_image:
            raise ValueError(f"captioner.describe_image is read by backend `template` alone. Got {self.backend!r}")
        if (self.backend == "openai_compatible") != (self.server is not None):
            raise ValueError(
                "captioner.server must be given for backend `openai_compatible`, and for no other. "
                f"Got {self.server and self.server.url} for {self.backend!r}"
            )
        return self


class ControlConfig(Parameters):
    """Whether a captioner looks at the image: answers to other pictures under the same instruction.

    Attributes:
        num_images: Images in the sample, spread over the tone groups; 0 for no control.
    """

    num_images: int = Field(default=32, ge=0)


class PromptSetConfig(Parameters):
    """One set of prompts: which attributes they name and who writes them.

    Attributes:
        attributes: Columns of the manifest, without repeats; unknown values are left out of the prompt.
        captioner: Who writes the prompts.
        instruction: Name of the file in `conf/instructions` that a model is told, without its ending.
        max_words: Words that the instruction asks for at most; 45 are about 60 tokens of CLIP, which takes 75.
        retries: Times that an answer with a fault is asked for again, told what was wrong, before the template
            takes its place.
        control: The sample on which the captioner's eyes are tested.
    """

    attributes: tuple[Attribute, ...] = Field(default=ATTRIBUTES, min_length=1)
    captioner: CaptionerConfig = CaptionerConfig()
    instruction: str = "default"
    max_words: int = Field(default=45, ge=15)
    retries: int = Field(default=1, ge=0)
    control: ControlConfig = ControlConfig()

    @field_validator("attributes")
    @classmethod
    def _each_once_in_order(cls, attributes: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
        if len(set(attributes)) != len(attributes):
            raise ValueError(f"attributes must not repeat. Got {list(attributes)}")
        return tuple(a for a in ATTRIBUTES if a in attributes)


class RefinementConfig(Parameters):
    """The language model that rewrites an instruction once, as the paper had it done (section 2.1).

    Attributes:
        model: Its name on the server; null until one is given.
        server: Where it answers.
        instruction: Name of the file in `conf/instructions` to rewrite.
    """

    model: str | None = None
    server: ServerConfig | None = None
    instruction: str = "default"


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
        max_windows: Windows of `max_length` that a long prompt may be read in, one after the other; 1 cuts it instead.
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
    max_windows: int = Field(default=1, ge=1)

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
