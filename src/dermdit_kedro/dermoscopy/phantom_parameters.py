"""Parameters of the phantoms."""

from math import isclose
from typing import Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters

TONES = ("light", "brown", "dark")


class PhantomConfig(Parameters):
    """How many phantoms, from which seed, and how often each property occurs.

    Shares are probabilities in [0, 1]: a finite set meets them up to chance.

    Attributes:
        num_images: Number of images; valid indices are 0 to num_images - 1.
        seed: Everything about image `index` follows from (seed, index).
        tone_shares: Share of patients of each tone group; sums to 1.
        malignant_shares: Share of malignant lesions within each tone group.
        hair_share: Share of images with hair.
        vignette_share: Share of images with dark round corners.
        ruler_share: Share of images with ruler marks along one side.
        glare_share: Share of images with specular spots or gel bubbles.
        rephotographed_share: Share of images which show the previous image's lesion a second time;
            below one half, as a lesion has two images at most.
    """

    num_images: int = Field(default=600, ge=1)
    seed: int = Field(default=0, ge=0)
    tone_shares: dict[str, float] = Field(default={"light": 0.62, "brown": 0.30, "dark": 0.08})
    malignant_shares: dict[str, float] = Field(default={"light": 0.35, "brown": 0.30, "dark": 0.15})
    hair_share: float = Field(default=0.30, ge=0, le=1)
    vignette_share: float = Field(default=0.20, ge=0, le=1)
    ruler_share: float = Field(default=0.12, ge=0, le=1)
    glare_share: float = Field(default=0.20, ge=0, le=1)
    rephotographed_share: float = Field(default=0.12, ge=0, lt=0.5)

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        for name in ("tone_shares", "malignant_shares"):
            shares = getattr(self, name)
            if set(shares) != set(TONES):
                raise ValueError(f"{name} needs exactly the keys {', '.join(TONES)}; got {sorted(shares)}")
            for tone, share in shares.items():
                if not 0 <= share <= 1:
                    raise ValueError(f"{name}.{tone} must lie in [0, 1]; got {share}")
        if not isclose(sum(self.tone_shares.values()), 1.0, abs_tol=1e-6):
            raise ValueError(f"tone_shares must sum to 1; got {sum(self.tone_shares.values()):g}")
        return self
