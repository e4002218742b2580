"""Draw a finished run's synthetic images by what was asked for.

`uv run python docs/images/make_samples.py [data folder] [png]`. One row a diagnosis and estimated tone: six held-out
real images, then twelve synthetic ones, unscreened, in the order of the plan.
"""

import sys
from pathlib import Path

import pandas as pd

from dermdit_kedro.dermoscopy.images import contact_sheet, read_rgb


def main(data: Path, target: Path) -> None:
    """Write the picture."""
    manifest = pd.read_parquet(data / "03_primary" / "manifest.parquet")
    plan = pd.read_parquet(data / "05_model_input" / "dermdit" / "plan.parquet")
    images = []
    for (is_malignant, tone), rows in plan.groupby(["requested_is_malignant", "requested_tone_group"]):
        real = manifest[
            (manifest["split"] == "test")
            & (manifest["is_malignant"] == is_malignant)
            & (manifest["tone_group"] == tone)
        ]
        images += [read_rgb(data / "03_primary" / "images" / f"{name}.png") for name in real["image_id"].head(6)]
        drawn = data / "07_model_output" / "dermdit" / "images"
        images += [read_rgb(drawn / f"{name}.png") for name in rows["sample_id"].head(12)]
    target.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(images, 18, 72).save(target)


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*(arguments + [Path("data"), Path("docs/images/base_samples.png")][len(arguments) :]))
