"""A seeded subset of a source, whole lesions at a time."""

import hashlib

import pandas as pd


def keep_some(records: pd.DataFrame, max_images: int | None, seed: int) -> pd.DataFrame:
    """Keep at most `max_images` rows: whole lesions, in an order given by (seed, lesion), spread over the labels.

    Args:
        records: Records of one source.
        max_images: Bound on the rows; null keeps all.
        seed: Seed of the order.

    Returns:
        The kept rows, in their order.
    """
    if max_images is None or len(records) <= max_images:
        return records
    lesion = records["lesion_id"].fillna(records["image_id"])
    label = records["is_malignant"].astype("object").fillna("")
    lesions = (
        pd.DataFrame({"lesion": lesion, "label": label})
        .groupby("lesion")
        .agg(label=("label", "first"), size=("label", "size"))
    )
    lesions["order"] = [hashlib.sha256(f"{seed}/{name}".encode()).hexdigest() for name in lesions.index]
    strata = lesions.sort_values("order").groupby("label")["order"]
    place = ((strata.cumcount() + 0.5) / strata.transform("size")).sort_values(kind="stable")
    kept: list[str] = []
    room = max_images
    for name, size in lesions.loc[place.index, "size"].items():
        if size <= room:
            kept.append(str(name))
            room -= size
    return records[lesion.isin(kept)]
