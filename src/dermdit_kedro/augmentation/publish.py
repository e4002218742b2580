"""The finished synthetic set: the images that were kept, as a folder that anything opens.

Hugging Face's `imagefolder` reads `metadata.jsonl`; it refuses a folder that has its table twice, so the whole
manifest is called `manifest.parquet`.
"""

import json
from typing import Any

import pandas as pd

from dermdit_kedro.atomic import atomic_file, link_or_copy
from dermdit_kedro.augmentation.data_card import write_data_card
from dermdit_kedro.dermoscopy.images import write_index
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.prompts.instructions import records

FOLDER = "images"
"""Holds the images, within the set."""

NOT_SHARED = ("kept", "reason", "file", "nearest_train_image_id")
"""Columns of the manifest that `metadata.jsonl` leaves out: the same for all, or the name of a real image."""


def main(job: Job) -> None:
    """Write the set of a job.

    Args:
        job: Config `card` (what `data_card.md.j2` names); inputs `images` (ImageFolder) and `manifest`, the synthetic
            manifest.
    """
    images = job.input("images", ImageFolder)
    manifest = job.table("manifest")
    kept = manifest[manifest["kept"]]
    (job.result / FOLDER).mkdir(exist_ok=True)
    for file in kept["file"]:
        target = job.result / FOLDER / file
        if not target.exists():
            link_or_copy(images.path / file, target)
    index = images.index()
    index = index[index["file"].isin(kept["file"])]
    write_index(job.result, records(index.assign(file=f"{FOLDER}/" + index["file"])))
    with atomic_file(job.result / "metadata.jsonl") as aside, aside.open("w") as file:
        for row in json.loads(_shared(kept).to_json(orient="records")):
            file.write(json.dumps(row) + "\n")
    with atomic_file(job.result / "manifest.parquet") as aside:
        manifest.to_parquet(aside, index=False)
    facts: dict[str, Any] = job.config("card", dict)
    write_data_card(job.result, ["dermoscopy", "skin-lesion", "synthetic"], **facts)
    job.complete()


def _shared(kept: pd.DataFrame) -> pd.DataFrame:
    table = kept.drop(columns=list(NOT_SHARED))
    table.insert(0, "file_name", f"{FOLDER}/" + kept["file"])
    return table


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
