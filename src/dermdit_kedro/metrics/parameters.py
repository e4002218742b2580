"""Parameters of everything that is measured."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters

Attribute = Literal["tone_group", "sex", "age_band", "site"]
"""An attribute by which people are grouped; `age_band` is made of `age_approx`."""

KNOWN_EXTRACTORS = ("efficientnet_lite0", "inception_v3", "finetuned", "clip")


class ExtractorConfig(Parameters):
    """A network that turns an image into a vector; every distance bears its name.

    Attributes:
        name: `efficientnet_lite0` (ImageNet weights from an installed package; nothing is downloaded),
            `inception_v3` (the one FID is defined with, in torch-fidelity's weights file), `finetuned` (the
            classifier that stands in for the paper's fine-tuned Inception), `clip` (the image half of a CLIP model,
            for CMMD) or `timm:<architecture>`, DINOv2 among them.
        weights: Local weights that `inception_v3` (.pth), `timm:` (.safetensors) and `clip` (a model folder of
            transformers) need; null otherwise.
        image_size: Side in pixels the images are resized to, bilinear with antialiasing. `inception_v3` resizes by
            itself to 299, `finetuned` and `clip` take the size they were trained at.
    """

    name: str
    weights: str | None = None
    image_size: int = Field(default=224, ge=16)

    @model_validator(mode="after")
    def _weights_belong_to_the_name(self) -> Self:
        is_timm = self.name.startswith("timm:") and len(self.name) > len("timm:")
        if not is_timm and self.name not in KNOWN_EXTRACTORS:
            raise ValueError(
                f"name must be one of {list(KNOWN_EXTRACTORS)} or `timm:<architecture>`. Got {self.name!r}"
            )
        needs_weights = is_timm or self.name in ("inception_v3", "clip")
        if needs_weights != (self.weights is not None):
            rule = "needs local weights" if needs_weights else "takes no weights"
            raise ValueError(f"the extractor {self.name!r} {rule}. Got weights: {self.weights!r}")
        return self


class ImageQualityConfig(Parameters):
    """How synthetic images are compared with real ones.

    Attributes:
        num_pairs: Most pairs of images that MS-SSIM is averaged over, for real and for synthetic images.
        num_neighbours: k of precision, recall, density and coverage.
        min_group_images: Images of each kind that the distance of a label x tone group needs.
        further_extractors: Networks by which images are compared besides `extractor` and the fine-tuned one. One
            whose weights are not there is passed over, and the log and the report say so.
        confidence: Of every interval, in (0, 1).
    """

    num_pairs: int = Field(default=1000, ge=2)
    num_neighbours: int = Field(default=5, ge=1)
    min_group_images: int = Field(default=20, ge=4)
    further_extractors: tuple[ExtractorConfig, ...] = ()
    confidence: float = Field(default=0.95, gt=0, lt=1)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [extractor.name for extractor in self.further_extractors]
        if len(set(names)) < len(names) or "finetuned" in names:
            raise ValueError(f"further_extractors must differ, and none be `finetuned`. Got {names}")
        return self


class GroupFairnessConfig(Parameters):
    """How diagnoses are judged, over all and group by group.

    Attributes:
        attributes: By what people are grouped.
        intersections: By which attributes together they are grouped too.
        reference_groups: By attribute, the group that others are compared with; where it is not named or too small,
            the largest group of the test set.
        age_edges: Ages in years at which an age band begins; the first band begins at 0.
        min_positive: A group with fewer positive images, those of one lesion or patient counted once, is reported as
            too small, not as a number.
        min_negative: The same for negative images.
        num_resamples: Bootstrap resamples of clusters of duplicates.
        num_permutations: How often groups are dealt out at random to test a gap.
        confidence: Of every interval, in (0, 1); a finding is a corrected p-value below 1 - confidence.
        num_bins: Bins of the expected calibration error.
    """

    attributes: tuple[Attribute, ...] = ("tone_group", "sex", "age_band", "site")
    intersections: tuple[tuple[Attribute, Attribute], ...] = (("tone_group", "sex"), ("sex", "age_band"))
    reference_groups: dict[Attribute, str] = Field(default_factory=dict)
    age_edges: tuple[int, ...] = (30, 50, 70)
    min_positive: int = Field(default=10, ge=1)
    min_negative: int = Field(default=10, ge=1)
    num_resamples: int = Field(default=2000, ge=100)
    num_permutations: int = Field(default=999, ge=19)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    num_bins: int = Field(default=10, ge=2)

    @model_validator(mode="after")
    def _ages_rise(self) -> Self:
        if list(self.age_edges) != sorted(set(self.age_edges)) or any(edge <= 0 for edge in self.age_edges):
            raise ValueError(f"age_edges must be positive and rising. Got {list(self.age_edges)}")
        return self
