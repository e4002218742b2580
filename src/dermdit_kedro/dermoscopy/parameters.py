"""Parameters of `data_engineering`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig
from dermdit_kedro.parameters import Parameters

ResizeMode = Literal["resize", "center_crop", "pad"]


class DataEngineeringConfig(Parameters):
    """How images become a manifest that can be trusted.

    Attributes:
        max_images: Keep a seeded subset of at most so many images of each source, whole lesions at a time; null
            keeps all.
        max_pixels: Largest width x height that is decoded; a larger image goes to quarantine.
        near_duplicate_distance: Two images whose 256-bit perceptual hashes differ in at most so many bits are linked.
            At 24 all 86 pairs found in HAM10000 are true: 85 of one lesion, and one picture under two lesion ids.
        val_share: Share of the lesions kept for choosing (thresholds, checkpoints), of role-train sources.
        test_share: Share of the lesions held out, of role-train sources.
        resize_mode: `resize` squeezes to the square (the paper), `center_crop` cuts it, `pad` fills with black.
        num_workers: Processes that decode; 0 uses every core. Changes speed alone.
        skin_tone: How skin tone is estimated.
    """

    max_images: int | None = Field(default=None, ge=1)
    max_pixels: int = Field(default=50_000_000, ge=1)
    near_duplicate_distance: int = Field(default=24, ge=0, le=32)
    val_share: float = Field(default=0.1, ge=0, lt=1)
    test_share: float = Field(default=0.2, gt=0, lt=1)
    resize_mode: ResizeMode = "resize"
    num_workers: int = Field(default=0, ge=0)
    skin_tone: SkinToneConfig = SkinToneConfig()

    @model_validator(mode="after")
    def _leave_images_to_train_on(self) -> Self:
        if self.val_share + self.test_share >= 1:
            raise ValueError(
                f"val_share + test_share must stay below 1, got {self.val_share} + {self.test_share}: "
                "nothing would be left to train on"
            )
        return self
