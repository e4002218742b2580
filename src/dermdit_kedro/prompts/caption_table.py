"""Prompts that are there already: a table of captions, by image, in place of a captioner that writes them."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.listing import bare_name
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.captioners import Answer, Request

logger = logging.getLogger(__name__)

CAPTIONS: Final = "captions"
"""What the catalog entry is called, below the prompt set."""

CAPTION: Final = "caption"
"""Column of the requests that holds an image's caption; empty where the table has none."""


class TableCaptioner:
    """Gives each image its row of the table, as it is written there.

    Args:
        fingerprint: Of the table's content.
    """

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint

    @property
    def source(self) -> str:
        """The table and which content it had, such as `captions@1a2b3c4d`."""
        return f"{CAPTIONS}@{self._fingerprint[:8]}"

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        """Answer every request, in order."""
        for request in requests:
            text = " ".join(str(request.record[CAPTION]).split())
            yield request, Answer(text, error="" if text else f"{CAPTIONS} has no prompt for it")


def match_captions(captions: pd.DataFrame, manifest: pd.DataFrame) -> pd.Series:
    """Find the caption of each image; rows of images that there are not are logged.

    Args:
        captions: Columns `prompt` and either `image_id` (the manifest's) or `file` (the image's file, with or without
            its folder and its ending).
        manifest: image_id and file.

    Returns:
        Captions in the order of the manifest, empty where there is none.

    Raises:
        UserError: If a column is missing or holds numbers, a row names no image or several, two rows name one image,
            or no row names any image of the manifest.
    """
    key = next((name for name in ("image_id", "file") if name in captions), None)
    if key is None or "prompt" not in captions:
        raise _fault(f"must have the columns image_id (or file) and prompt. Got {', '.join(map(str, captions))}")
    if len(captions) and not pd.api.types.is_string_dtype(captions[key].dropna()):
        raise _fault(f"must have text in the column {key}. Got numbers: give the entry load_args: {{dtype: str}}")
    asked = captions[key].astype("str").str.strip()
    unnamed = asked.isna() | (asked == "")
    if unnamed.any():
        raise _fault(f"must name an image in every row. Row {int(unnamed.to_numpy().argmax()) + 1} has none")
    names = _names(manifest, key)
    found = [names.get(name.replace("\\", "/"), []) for name in asked]
    several = [(name, images) for name, images in zip(asked, found, strict=True) if len(images) > 1]
    if several:
        name, images = several[0]
        raise _fault(f"must name one image in each row. {name!r} may be {' or '.join(images[:3])}: give image_id")
    ids = pd.Series([each[0] if each else None for each in found], dtype="str")
    texts = captions["prompt"].astype("str").fillna("").reset_index(drop=True)
    _refuse_repeats(ids, asked)
    _tell_unknown(ids, asked.reset_index(drop=True), manifest)
    by_image = texts[ids.notna()].set_axis(ids[ids.notna()])
    return manifest["image_id"].map(by_image).astype("str").fillna("")


def _names(manifest: pd.DataFrame, key: str) -> dict[str, list[str]]:
    """Return what an image may be called -> the ids of the images that are called so."""
    names: dict[str, list[str]] = {}
    for image_id, file in manifest[["image_id", "file"]].itertuples(index=False, name=None):
        last = PurePosixPath(file).name
        for name in {image_id} if key == "image_id" else {file, bare_name(file), last, bare_name(last)}:
            names.setdefault(name, []).append(image_id)
    return names


def _refuse_repeats(ids: pd.Series, asked: pd.Series) -> None:
    repeated = ids.notna() & ids.duplicated()
    if repeated.any():
        name = asked.iloc[int(repeated.to_numpy().argmax())]
        raise _fault(f"must name an image once. {int(repeated.sum())} rows name one again, the first is {name!r}")


def _tell_unknown(ids: pd.Series, asked: pd.Series, manifest: pd.DataFrame) -> None:
    unknown = asked[ids.isna()]
    if len(unknown) == len(ids):
        example = f"such as {asked.iloc[0]!r}" if len(asked) else "for it has no row"
        raise _fault(
            f"must name images of the manifest, such as {manifest['image_id'].iloc[0]!r} with the file "
            f"{manifest['file'].iloc[0]!r}. It names none, {example}"
        )
    if len(unknown):
        logger.warning(
            "%d of %d rows of %s name no image of the manifest (unknown, or set aside), the first is %r",
            len(unknown), len(ids), CAPTIONS, unknown.iloc[0],
        )  # fmt: skip


def _fault(what: str) -> UserError:
    return UserError(f"the table in the catalog entry `<prompt set>.{CAPTIONS}` {what}")
