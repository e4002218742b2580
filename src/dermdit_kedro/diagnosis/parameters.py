"""Parameters of the classifiers and of the arms that train them."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters
from dermdit_kedro.training.parameters import TrainingConfig

LabelName = Literal["is_malignant", "is_melanoma"]
"""The two labels of the manifest; every result names the one it used."""

HELD_OUT = "held_out"
"""The test set that is the test split of the sources that train."""

ThresholdAttribute = Literal["tone_group", "sex", "site"]
"""By what groups can get thresholds of their own."""


class ClassifierConfig(Parameters):
    """A binary image classifier from timm.

    Attributes:
        architecture: A name timm knows, with or without a tag, such as `resnext101_32x8d.tv_in1k`.
        pretrained: Where its first weights come from: null for a random start, `hub` for timm's own weights, or
            the path of a safetensors file with timm's names.
        drop_rate: Dropout before the head, in [0, 1).
        mean: Channel means the input is centred by, of values in [0, 1]; null for the architecture's own.
        std: Channel standard deviations the input is divided by; null for the architecture's own.
        label_name: The label that is learned.
    """

    architecture: str = Field(min_length=1)
    pretrained: str | None = None
    drop_rate: float = Field(default=0.0, ge=0, lt=1)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    label_name: LabelName = "is_malignant"


class ClassifierTraining(Parameters):
    """How a classifier is trained; every arm takes the same number of steps.

    Attributes:
        epochs: Passes over the real training images: steps = epochs x ceil(real training images / batch_size),
            whatever the arm trains on.
        num_seeds: Classifiers per arm, seeded `seed`, `seed` + 1, ...
        batch_size: Global batch size.
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
        lr_warmup_steps: Steps of linear warm-up, at most a tenth of all steps.
        lr_scheduler: What follows the warm-up.
        balance: Whether positives weigh negatives / positives in the loss.
        num_validations: Validations, evenly spaced; the weights with the lowest validation loss are kept.
        checkpointing_steps: Steps between two resumable states.
        mixed_precision: Autocast dtype; `no` is float32.
    """

    epochs: int = Field(gt=0)
    num_seeds: int = Field(default=1, gt=0)
    batch_size: int = Field(default=64, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    lr_warmup_steps: int = Field(default=50, ge=0)
    lr_scheduler: Literal["constant", "cosine"] = "cosine"
    balance: bool = False
    num_validations: int = Field(default=10, gt=0)
    checkpointing_steps: int = Field(default=1000, gt=0)
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"

    def for_images(self, num_real_images: int) -> TrainingConfig:
        """Return the loop's settings for a number of real training images.

        Args:
            num_real_images: Training images of the arm `real`.

        Returns:
            Steps, batch and optimizer for `training.engine.fit`.
        """
        steps = self.epochs * max(1, math.ceil(num_real_images / self.batch_size))
        return TrainingConfig(
            max_train_steps=steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            lr_warmup_steps=min(self.lr_warmup_steps, steps // 10),
            lr_scheduler=self.lr_scheduler,
            mixed_precision=self.mixed_precision,
            checkpointing_steps=self.checkpointing_steps,
            log_steps=math.gcd(20, self.checkpointing_steps),
            validation_steps=max(1, steps // self.num_validations),
            use_best=True,
        )


class ClassifierCard(Parameters):
    """What `config.json` beside a trained classifier's weights says.

    Attributes:
        architecture: timm's name.
        image_size: Side of the square images it was trained on, in pixels.
        mean: Channel means the input is centred by.
        std: Channel standard deviations the input is divided by.
        label_name: The label it learned.
        seed: The seed it was trained with.
        threshold: The calibrated score from which on an image is called positive; chosen on validation rows.
        temperature: What the logit is divided by before the sigmoid; fitted on validation rows.
    """

    architecture: str
    image_size: int = Field(gt=0)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    label_name: LabelName
    seed: int
    threshold: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=1.0, gt=0)


class ArmConfig(Parameters):
    """What an arm's classifiers are trained on.

    Attributes:
        real: Whether the real training images are in it.
        synthetic: Whether the kept synthetic images of the default variant are in it.
        synthetic_ratio: Synthetic images per real training image; null for all that were kept.
        oversample: Whether rows are repeated until every label x tone group has as many as the largest.
        threshold_by: By which groups get thresholds of their own, chosen on validation rows to find as many of
            their positives as are found over all; null for one threshold.
    """

    real: bool = True
    synthetic: bool = False
    synthetic_ratio: float | None = Field(default=None, gt=0)
    oversample: bool = False
    threshold_by: ThresholdAttribute | None = None

    @property
    def training_set(self) -> str:
        """What is trained on, in a word; arms that share it share their classifiers."""
        parts = [name for name in ("real", "synthetic") if getattr(self, name)]
        ratio = [f"{self.synthetic_ratio:g}_to_1"] if self.synthetic_ratio else []
        return "_".join(["_plus_".join(parts), *ratio, *(["oversampled"] if self.oversample else [])])

    @model_validator(mode="after")
    def _trains_on_something(self) -> Self:
        if not (self.real or self.synthetic):
            raise ValueError("an arm must train on real images, on synthetic ones or on both. Got neither")
        if self.synthetic_ratio is not None and not self.synthetic:
            raise ValueError(f"synthetic_ratio needs synthetic: true. Got synthetic_ratio {self.synthetic_ratio}")
        return self


class EvaluationConfig(Parameters):
    """What the classifiers are tested on.

    Attributes:
        label_names: The label by which a test set is judged, by name of the test set, where it is another than the one
            that was learned; images without that label are left out.
    """

    label_names: dict[str, LabelName] = Field(default_factory=dict)
