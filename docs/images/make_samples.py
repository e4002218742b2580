"""Draw a finished run's synthetic images by what was asked for.

`uv run python docs/images/make_samples.py [data folder] [png]`. One row per diagnosis and estimated tone: on phantoms
six real images of the test splits, then twelve synthetic ones; on patients' images eighteen synthetic ones and no real
one, for the picture is published. Synthetic images are unscreened, in the order of the plan.
"""

import json
import sys
from itertools import product
from pathlib import Path

import pandas as pd

from dermdit_kedro.dermoscopy.images import contact_sheet, read_rgb
from dermdit_kedro.dermoscopy.records import TONE_GROUPS

COLUMNS = 18


def main(data: Path, target: Path) -> None:
    """Write the picture."""
    manifest = pd.read_parquet(data / "03_primary" / "manifest.parquet")
    plan = pd.read_parquet(data / "05_model_input" / "dermdit" / "plan.parquet")
    kind = json.loads((data / "08_reporting" / "summary.json").read_text())["data"]["kind"]
    num_real = 6 if kind == "phantoms" else 0
    images = []
    for is_malignant, tone in product((False, True), TONE_GROUPS):
        rows = plan[(plan["requested_is_malignant"] == is_malignant) & (plan["requested_tone_group"] == tone)]
        real = manifest[
            (manifest["split"] == "test")
            & (manifest["is_malignant"] == is_malignant)
            & (manifest["tone_group"] == tone)
        ]
        names = real["image_id"].head(num_real)
        images += [read_rgb(data / "03_primary" / "images" / f"{name}.png") for name in names]
        drawn = data / "07_model_output" / "dermdit" / "images"
        images += [read_rgb(drawn / f"{name}.png") for name in rows["sample_id"].head(COLUMNS - num_real)]
    target.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(images, COLUMNS, 72).save(target)


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*(arguments + [Path("data"), Path("docs/images/base_samples.png")][len(arguments) :]))
