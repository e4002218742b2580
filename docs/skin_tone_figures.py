"""The figures of `docs/skin_tone.md`: `uv run python docs/skin_tone_figures.py [folder of HAM10000]`."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from dermdit_kedro.dermoscopy.phantom import render
from dermdit_kedro.dermoscopy.phantom_parameters import TONES, PhantomConfig
from dermdit_kedro.dermoscopy.skin_tone import find_skin_patches, measure_skin_tone
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig

CONFIG = SkinToneConfig()
BINS = [-180, 10, 19, 28, 41, 48, 55, 70, 80, 90]
SHARES = ("hair_share", "vignette_share", "glare_share", "ruler_share")


def show_phantoms(num_images: int, size: int) -> None:
    """Print error, right group and unknown of each tone group, every artefact in every image."""
    even = dict.fromkeys(TONES, 1 / 3)
    config = PhantomConfig(
        num_images=num_images, seed=1, tone_shares=even, malignant_shares=even, **dict.fromkeys(SHARES, 1.0)
    )
    rows = []
    for index in range(num_images):
        phantom = render(config, index, size)
        rows.append((phantom.record["tone_group"], phantom.ita_degrees, measure_skin_tone(phantom.image, CONFIG)))
    for group in TONES:
        known = [(truth, tone) for name, truth, tone in rows if name == group and tone.tone_group != "unknown"]
        clear = [tone.tone_group == group for truth, tone in known if min(abs(truth - 41), abs(truth - 19)) >= 5]
        error = np.mean([abs(tone.ita_degrees - truth) for truth, tone in known])
        count = sum(name == group for name, _, _ in rows)
        print(f"{size} px, {group}: n {count}, error {error:.2f}, right {np.mean(clear):.3f}, known {len(known)}")  # noqa: T201


def why_unknown(colours: np.ndarray) -> str:
    """Name the rule that leaves an image without a tone, in the order of the rules."""
    if len(colours) < CONFIG.min_valid_patches:
        return "too few patches"
    blue, red = colours[:, 2] <= CONFIG.min_yellowness, colours[:, 1] >= CONFIG.max_redness
    if 2 * (blue | red).sum() >= len(colours):
        return "b* too small" if blue.sum() >= red.sum() else "a* too large"
    return "too few patches" if (~(blue | red)).sum() < CONFIG.min_valid_patches else "red and not light"


def show_ham10000(folder: Path) -> None:
    """Print tone groups, reasons for unknown, angles, and what two mistaken formulas give on the same patches."""
    tones, reasons, medians = [], Counter(), []
    for file in sorted(folder.rglob("*.jpg")):
        image = np.asarray(Image.open(file).convert("RGB"))
        tone, colours = measure_skin_tone(image, CONFIG), find_skin_patches(image, CONFIG)
        tones.append(tone)
        if tone.tone_group == "unknown":
            reasons[why_unknown(colours)] += 1
        if len(colours):
            medians.append(np.median(colours, axis=0))
    lightness, _, yellowness = np.array(medians).T
    known = [tone.ita_degrees for tone in tones if tone.tone_group != "unknown"]
    print(Counter(tone.tone_group for tone in tones), dict(reasons))  # noqa: T201
    formulas = {
        "as measured": known,
        "atan2, all": np.degrees(np.arctan2(lightness - 50, yellowness)),
        "atan, all": np.degrees(np.arctan((lightness - 50) / yellowness)),
        "8-bit Lab, all": np.degrees(np.arctan((2.55 * lightness - 50) / (yellowness + 128))),
    }
    for name, angles in formulas.items():
        print(name, np.histogram(np.clip(angles, -180, 90), BINS)[0].tolist(), "between", BINS)  # noqa: T201


if __name__ == "__main__":
    for side in (64, 256):
        show_phantoms(720, side)
    if len(sys.argv) > 1:
        show_ham10000(Path(sys.argv[1]))
