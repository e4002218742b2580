"""Look into every image once: is it whole, what does it hash to, how large is it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import imagehash
import pandas as pd

from dermdit_kedro.dermoscopy.decoding import decode_image
from dermdit_kedro.dermoscopy.layouts import Source
from dermdit_kedro.dermoscopy.parallel import work_through
from dermdit_kedro.dermoscopy.records import QUARANTINE_COLUMNS

HASH_SIDE = 16
"""Side of the perceptual hash; it has this many bits squared."""


class Reason(StrEnum):
    """Why an image is in quarantine; a closed list."""

    MISSING_FILE = "missing_file"
    UNSAFE_PATH = "unsafe_path"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    DUPLICATE_ID = "duplicate_id"
    LISTED_DUPLICATE = "listed_duplicate"


@dataclass(frozen=True)
class Finding:
    """What one image turned out to be: either hashes and size, or a reason."""

    sha256: str | None = None
    phash: str | None = None
    width: int | None = None
    height: int | None = None
    reason: Reason | None = None
    detail: str = ""


def inspect_image(source: Source, file: str, max_pixels: int) -> Finding:
    """Decode one image and hash it; a bad one is a finding, never an exception.

    Args:
        source: Where it is.
        file: Its name there.
        max_pixels: Bound on width x height.

    Returns:
        sha256 of the bytes, perceptual hash (hexadecimal) and size, or the reason.
    """
    try:
        content = source.read_bytes(file)
        image = decode_image(content, max_pixels)
    except FileNotFoundError as error:
        return Finding(reason=Reason.MISSING_FILE, detail=str(error))
    except PermissionError as error:
        return Finding(reason=Reason.UNSAFE_PATH, detail=str(error))
    except OverflowError as error:
        return Finding(reason=Reason.TOO_LARGE, detail=str(error))
    except Exception as error:  # a decoder may raise anything on hostile bytes
        return Finding(reason=Reason.UNREADABLE, detail=f"{type(error).__name__}: {error}")
    phash = str(imagehash.phash(image, hash_size=HASH_SIDE))
    return Finding(hashlib.sha256(content).hexdigest(), phash, image.width, image.height)


def inspect_records(
    sources: Mapping[str, Source], records: pd.DataFrame, max_pixels: int, num_workers: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Inspect the images of all records.

    Args:
        sources: The sources by name.
        records: Harmonised records; of an image id that occurs twice the first counts, and one that a list of the
            archive calls a duplicate is not looked at.
        max_pixels: Bound on width x height.
        num_workers: Threads; 0 uses every core.

    Returns:
        The records of whole images with sha256, phash, width and height; and the quarantine.
    """
    listed = records["listed_duplicate_of"].notna()
    records, named = records[~listed], records.loc[listed].assign(reason=str(Reason.LISTED_DUPLICATE))
    named["detail"] = "the archive lists it as a duplicate of " + named["listed_duplicate_of"]
    repeated = records["image_id"].duplicated()
    once: Sequence[tuple[str, str]] = list(records.loc[~repeated, ["source", "file"]].itertuples(index=False))

    def look(item: tuple[str, str]) -> Finding:
        return inspect_image(sources[item[0]], item[1], max_pixels)

    found = work_through(look, once, len(once), "inspect images", num_workers)
    findings = pd.DataFrame([finding.__dict__ for finding in found], columns=list(Finding.__dataclass_fields__))
    joined = pd.concat([records[~repeated].reset_index(drop=True), findings], axis=1)
    is_whole = joined["reason"].isna()
    twice = records[repeated].assign(reason=str(Reason.DUPLICATE_ID), detail="an earlier row has the same image id")
    bad = pd.concat([joined[~is_whole], twice, named], ignore_index=True)
    bad["reason"] = bad["reason"].astype("str")
    whole = joined[is_whole].drop(columns=["reason", "detail"]).reset_index(drop=True)
    whole = whole.astype({"width": "Int64", "height": "Int64", "sha256": "str", "phash": "str"})
    return whole, bad[list(QUARANTINE_COLUMNS)].astype("str").reset_index(drop=True)
