"""Parameters of the synthesis plan and of the screens."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters

GroupAttribute = Literal["is_malignant", "tone_group", "sex", "site"]
"""An attribute with a closed list of values, over which a plan can be balanced."""


class SynthesisConfig(Parameters):
    """Whom the synthetic set shows.

    Attributes:
        num_images: Images planned in all; for `complement` the most there may be, not read for `table`.
        num_unconditional_images: Images of a generator that reads no prompt; null for `num_images`.
        strategy: `balanced` asks for equal numbers of every supported group (paper, section 2.3), `complement` for what
            the real training images lack until these groups are even, `match` for their distribution, `table` for
            what the catalog entry `synthesis_table` says.
        attributes: The attributes whose combinations are the groups; the other attributes of a row are those
            of a real training image of its group.
        min_train_images: A group with fewer real training images than this is left out and reported as
            unsupported: a model cannot show what it never saw.
    """

    num_images: int = Field(gt=0)
    num_unconditional_images: int | None = Field(default=None, gt=0)
    strategy: Literal["balanced", "complement", "match", "table"] = "balanced"
    attributes: tuple[GroupAttribute, ...] = Field(default=("is_malignant", "tone_group"), min_length=1)
    min_train_images: int = Field(default=20, ge=0)

    @model_validator(mode="after")
    def _attributes_are_distinct(self) -> Self:
        if len(set(self.attributes)) != len(self.attributes):
            raise ValueError(f"attributes must name each attribute once. Got {list(self.attributes)}")
        return self


class TableRow(Parameters):
    """One line of a synthesis table; an empty cell asks for nothing.

    Attributes:
        count: Images.
        is_malignant: Label.
        tone_group: Skin tone.
        sex: Sex.
        age_approx: Age in years; training images within five years of it support it.
        site: Body site.
        prompt: Used as it is; else captions of training images with these attributes, or the grammar.
    """

    count: int = Field(gt=0)
    is_malignant: bool | None = None
    tone_group: Literal["light", "brown", "dark"] | None = None
    sex: Literal["male", "female"] | None = None
    age_approx: float | None = Field(default=None, gt=0, le=130)
    site: (
        Literal["head and neck", "trunk", "upper extremity", "lower extremity", "palms and soles", "oral or genital"]
        | None
    ) = None
    prompt: str | None = Field(default=None, min_length=1)


class SwapConfig(Parameters):
    """Images for which one word of the prompt is changed.

    Attributes:
        attributes: What is swapped, one after the other; what the prompts do not name is left out.
        num_seeds: Images of each value, all measured.
        shown: Images of each value in the figure.
    """

    attributes: tuple[GroupAttribute, ...] = ("tone_group", "is_malignant", "site")
    num_seeds: int = Field(default=16, gt=0)
    shown: int = Field(default=6, gt=0)


class BlankScreen(Parameters):
    """Set aside images that show next to nothing.

    Attributes:
        enabled: Whether the screen is on.
        min_contrast: Least standard deviation of the grey level, in levels of 0-255.
    """

    enabled: bool = True
    min_contrast: float = Field(default=4.0, ge=0)


class MemorisationScreen(Parameters):
    """Set aside images that copy a training image, in feature space or by perceptual hash.

    Attributes:
        enabled: Whether the screen is on.
        false_alarm_rate: Share of one half of the held-out real images that either criterion may accuse;
            it sets both thresholds. The rate on the other half is reported.
        num_neighbours: Training images whose mean distance the nearest one is compared with, so that the
            criterion means the same in a crowded and in an empty corner of the feature space.
        hash_size: Side of the perceptual hash, in bits.
    """

    enabled: bool = True
    false_alarm_rate: float = Field(default=0.005, gt=0, lt=0.5)
    num_neighbours: int = Field(default=10, ge=1)
    hash_size: int = Field(default=16, ge=4, le=32)


class OutlierScreen(Parameters):
    """Set aside images unlike any training image.

    Attributes:
        enabled: Whether the screen is on.
        percentile: Percentile of the distances from held-out real images to their nearest training image.
        tolerance: Multiple of that percentile up to which an image is kept; above 1 because decoded images
            are softer than photographs, which moves the features of all of them alike.
    """

    enabled: bool = True
    percentile: float = Field(default=99.0, gt=0, le=100)
    tolerance: float = Field(default=1.2, ge=1)


class ToneScreen(Parameters):
    """Set aside images whose measured tone is not the tone asked for, or cannot be measured.

    Attributes:
        enabled: Whether the screen is on.
    """

    enabled: bool = True


class LabelScreen(Parameters):
    """Set aside images that the screening classifier takes for the other label.

    Attributes:
        enabled: Whether the screen is on.
        margin: How far the score may lie on the wrong side of the classifier's threshold, in [0, 1].
    """

    enabled: bool = True
    margin: float = Field(default=0.0, ge=0, le=1)


class DuplicateScreen(Parameters):
    """Set aside images that repeat an earlier kept one.

    Attributes:
        enabled: Whether the screen is on.
        max_hash_share: Share of the perceptual hash's bits that may differ between two duplicates.
    """

    enabled: bool = True
    max_hash_share: float = Field(default=0.08, ge=0, lt=0.5)


class ScreeningConfig(Parameters):
    """The screens, in the order in which a reason is given.

    Attributes:
        blank: Next to no contrast.
        memorisation: A copy of a training image.
        outlier: Unlike any training image.
        tone: Another tone than asked for.
        label: Another label than asked for.
        duplicate: A repetition within the synthetic set.
    """

    blank: BlankScreen = BlankScreen()
    memorisation: MemorisationScreen = MemorisationScreen()
    outlier: OutlierScreen = OutlierScreen()
    tone: ToneScreen = ToneScreen()
    label: LabelScreen = LabelScreen()
    duplicate: DuplicateScreen = DuplicateScreen()
