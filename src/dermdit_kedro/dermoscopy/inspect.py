"""Look into every image once: is it whole, what does it hash to, how large is it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import imagehash
import pandas as pd

from dermdit_kedro.dermoscopy.decoding import decode_image
from dermdit_kedro.dermoscopy.layouts import Source
from dermdit_kedro.dermoscopy.ledger import Ledger
from dermdit_kedro.dermoscopy.records import INSPECTED_DTYPES, QUARANTINE_COLUMNS, Reason, conform
from dermdit_kedro.errors import UserError

HASH_SIDE = 16
"""Side of the perceptual hash; it has this many bits squared."""


@dataclass(frozen=True)
class Finding:
    """What one image turned out to be: either hashes and size, or a reason."""

    sha256: str | None = None
    phash: str | None = None
    width: int | None = None
    height: int | None = None
    reason: Reason | None = None
    detail: str = ""


FINDING_DTYPES: Final = {
    "sha256": "str", "phash": "str", "width": "Int64", "height": "Int64", "reason": "str", "detail": "str"
}  # fmt: skip
"""Columns and dtypes of findings."""


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
        phash = str(imagehash.phash(image, hash_size=HASH_SIDE))
    except (MemoryError, UserError):
        raise  # says something about the machine or the store, not about the image
    except FileNotFoundError as error:
        return _refuse(Reason.MISSING_FILE, str(error))
    except PermissionError as error:
        return _refuse(Reason.UNSAFE_PATH, str(error))
    except OverflowError as error:
        return _refuse(Reason.TOO_LARGE, str(error))
    except Exception as error:  # a decoder may raise anything on hostile bytes
        return _refuse(Reason.UNREADABLE, f"{type(error).__name__}: {error}")
    return Finding(hashlib.sha256(content).hexdigest(), phash, image.width, image.height)


def _refuse(reason: Reason, detail: str) -> Finding:
    return Finding(reason=reason, detail=detail.encode("utf-8", "backslashreplace").decode())


def inspect_records(
    sources: Mapping[str, Source], records: pd.DataFrame, max_pixels: int, num_workers: int, ledger: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Inspect the images of all records; those that have not changed since an earlier run are not read again.

    Args:
        sources: The sources by name.
        records: Harmonised records; of an image id that occurs twice the first counts, and one that a list of the
            archive calls a duplicate is set aside where the other is whole.
        max_pixels: Bound on width x height.
        num_workers: Processes; 0 uses every core.
        ledger: Folder of what earlier runs with this bound found.

    Returns:
        The records of whole images with sha256, phash, width and height; and the quarantine.
    """
    repeated = records["image_id"].duplicated()
    once = records[~repeated].reset_index(drop=True)
    findings = Ledger(ledger, FINDING_DTYPES, keep=lambda rows: rows["reason"].isna()).complete(
        _stamps(sources, once),
        partial(_look, dict(sources), max_pixels),
        once[["source", "file"]].itertuples(index=False, name=None),
        "inspect images",
        num_workers,
    )
    joined = pd.concat([once, findings], axis=1)
    copies = _find_copies(joined)
    joined.loc[copies, "reason"] = str(Reason.LISTED_DUPLICATE)
    joined.loc[copies, "detail"] = "the archive lists it as a duplicate of " + joined["listed_duplicate_of"]
    is_whole = joined["reason"].isna()
    twice = records[repeated].assign(reason=str(Reason.DUPLICATE_ID), detail="an earlier row has the same image id")
    bad = pd.concat([joined[~is_whole], twice], ignore_index=True)
    quarantine = bad[list(QUARANTINE_COLUMNS)].astype("str").reset_index(drop=True)
    return conform(joined[is_whole], INSPECTED_DTYPES), quarantine


def _find_copies(found: pd.DataFrame) -> list[int]:
    """Find the whole images that a list calls duplicates of whole ones; of two that repeat each other one stays."""
    whole = found[found["reason"].isna()]
    listed = whole[whole["listed_duplicate_of"].notna()]
    kept = set(whole["image_id"]) - set(listed["image_id"])
    copies = []
    for row, image_id, original in listed[["image_id", "listed_duplicate_of"]].itertuples(name=None):
        if original in kept:
            copies.append(row)
        else:
            kept.add(image_id)
    return copies


def _look(sources: Mapping[str, Source], max_pixels: int, item: tuple[str, str]) -> dict[str, Any]:
    source, file = item
    return asdict(inspect_image(sources[source], file, max_pixels))


def _stamps(sources: Mapping[str, Source], records: pd.DataFrame) -> pd.Series:
    """Tell each file from others and from what it was before; null where it cannot be told."""
    names = zip(records["source"], records["file"], strict=True)
    stamps = ((source, file, sources[source].stamp(file)) for source, file in names)
    keys = [None if stamp is None else json.dumps([source, file, stamp]) for source, file, stamp in stamps]
    return pd.Series(keys, dtype="str")
