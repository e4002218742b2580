"""Parameters of skin-tone measurement."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters

PRESETS: dict[str, tuple[float, float]] = {"kinyanjui": (41.0, 19.0), "del_bino": (41.0, 10.0), "groh": (28.0, 5.0)}
"""Published thresholds (light above, brown above) in degrees: Kinyanjui et al. 2020, Del Bino et al. 2013, and the
empirical ones of Groh et al. 2021 for Fitzpatrick types I-II and III-IV."""


class SkinToneConfig(Parameters):
    """How the tone of skin is measured, and where one tone group ends and the next begins.

    Attributes:
        preset: Published thresholds; `custom` where `light_above` and `brown_above` are one's own.
        light_above: ITA in degrees above which skin is light; by default the preset's.
        brown_above: ITA in degrees above which skin is brown, at or below which it is dark; by default the preset's.
        border_share: Share of each side that is cut off first (frames, stamps).
        min_valid_patches: Fewer valid patches than this make the tone unknown.
        min_valid_share: Share of a patch's pixels that must be usable skin.
        min_lightness: L* at or below which a pixel is no skin (black frame).
        max_lightness: L* at or above which a pixel is no skin (glare).
        min_yellowness: b* at or below which a patch has no angle; the angle has no meaning where b* <= 0.
        max_redness: a* at or above which a patch has no colour of skin.
        max_redness_of_pigment: a* at or above which skin that is not light is unknown: redness darkens as melanin does.
        max_texture: Largest standard deviation of L* within a patch.
    """

    preset: Literal["kinyanjui", "del_bino", "groh", "custom"] = "kinyanjui"
    light_above: float = Field(default=41.0, gt=-90, lt=90)
    brown_above: float = Field(default=19.0, gt=-90, lt=90)
    border_share: float = Field(default=0.04, ge=0, lt=0.25)
    min_valid_patches: int = Field(default=3, ge=1)
    min_valid_share: float = Field(default=0.5, gt=0, le=1)
    min_lightness: float = Field(default=5.0, ge=0, lt=50)
    max_lightness: float = Field(default=98.0, gt=50, le=100)
    min_yellowness: float = Field(default=1.0, ge=0)
    max_redness: float = Field(default=36.0, gt=0)
    max_redness_of_pigment: float = Field(default=24.0, gt=0)
    max_texture: float = Field(default=4.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: dict[str, object]) -> dict[str, object]:
        preset = values.get("preset", "kinyanjui")
        if preset not in PRESETS:
            return values
        named = dict(zip(("light_above", "brown_above"), PRESETS[str(preset)], strict=True))
        return {**named, **values}

    @model_validator(mode="after")
    def _order_thresholds(self) -> Self:
        if self.light_above <= self.brown_above:
            raise ValueError(f"light_above must exceed brown_above; got {self.light_above} and {self.brown_above}")
        if self.preset in PRESETS and (self.light_above, self.brown_above) != PRESETS[self.preset]:
            raise ValueError(
                f"preset {self.preset!r} means light_above, brown_above = {PRESETS[self.preset]}; "
                f"got {self.light_above}, {self.brown_above}: say preset: custom"
            )
        return self
