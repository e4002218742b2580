"""What is done to every image after it was found whole: its tone is measured, it is written at one size."""

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image

from dermdit_kedro.atomic import link_or_copy
from dermdit_kedro.dermoscopy.decoding import decode_image
from dermdit_kedro.dermoscopy.images import index_row, resize_image, write_index, write_png
from dermdit_kedro.dermoscopy.layouts import Source
from dermdit_kedro.dermoscopy.ledger import Ledger
from dermdit_kedro.dermoscopy.parallel import work_through
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig, ResizeMode
from dermdit_kedro.dermoscopy.records import TONE_DTYPES, conform, settle_tones
from dermdit_kedro.dermoscopy.skin_tone import WORKING_SIZE, measure_skin_tone
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig
from dermdit_kedro.errors import UserError

PNG_END: Final = b"IEND\xaeB`\x82"

Item = tuple[str, str, str, str]
"""image_id, source, file, sha256."""

LOOK_DTYPES: Final = {"ita_degrees": "float64", "ita_iqr": "float64", "group": "str"}


def measure_tones(
    sources: Mapping[str, Source], images: pd.DataFrame, config: DataEngineeringConfig, ledger: Path
) -> pd.DataFrame:
    """Estimate the skin tone of every image; an expert's skin type, where there is one, wins.

    Args:
        sources: The sources by name.
        images: Records of whole images with sha256.
        config: `skin_tone`, bound on pixels, processes.
        ledger: Folder of what earlier runs with these parameters measured; equal bytes are measured once.

    Returns:
        image_id, ita_degrees, ita_iqr, tone_group, tone_source.
    """
    measured = Ledger(ledger, LOOK_DTYPES).complete(
        images["sha256"],
        partial(_measure, dict(sources), config.skin_tone, config.max_pixels),
        images[["image_id", "source", "file", "sha256"]].itertuples(index=False, name=None),
        "measure skin tone",
        config.num_workers,
    )
    said = images[["image_id", "fitzpatrick_skin_type", "expert_tone_group"]].reset_index(drop=True)
    settled = settle_tones(said["fitzpatrick_skin_type"], said["expert_tone_group"], measured["group"])
    return conform(pd.concat([said, measured, settled], axis=1), TONE_DTYPES)


def _measure(sources: Mapping[str, Source], skin_tone: SkinToneConfig, max_pixels: int, item: Item) -> dict[str, Any]:
    image = _decode(sources, item, max_pixels, 8 * WORKING_SIZE)
    tone = measure_skin_tone(np.asarray(image), skin_tone)
    return {"ita_degrees": tone.ita_degrees, "ita_iqr": tone.ita_iqr, "group": tone.tone_group}


def _decode(sources: Mapping[str, Source], item: Item, max_pixels: int, at_least: int) -> Image.Image:
    """Decode what was inspected and nothing else: what is kept under a hash must be made from its bytes."""
    image_id, source, file, sha256 = item
    try:
        content = sources[source].read_bytes(file)
    except OSError as error:
        raise UserError(
            f"{image_id}: {file!r} was there when it was inspected: {error}. Start the run again"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{image_id}: {file!r} has changed since it was inspected. Start the run again")
    return decode_image(content, max_pixels, at_least)


def write_images(
    sources: Mapping[str, Source],
    images: pd.DataFrame,
    config: DataEngineeringConfig,
    image_size: int,
    folder: Path,
    store: Path,
) -> None:
    """Write every image at one size as `<image_id>.png`, without metadata, and the index; what is there is kept.

    Args:
        sources: The sources by name.
        images: image_id, source, file, sha256.
        config: `resize_mode`, bound on pixels, processes.
        image_size: Side in pixels.
        folder: The folder to fill.
        store: Folder of all images ever written at this size and in this mode, by sha256 of what they were made
            from: bytes that were seen before are not decoded again.
    """
    write = partial(_write, dict(sources), config.max_pixels, config.resize_mode, image_size, folder, store)
    items = images[["image_id", "source", "file", "sha256"]].itertuples(index=False, name=None)
    write_index(folder, work_through(write, items, len(images), "prepare images", config.num_workers))
    os.sync()  # one wait for all of them


def _write(
    sources: Mapping[str, Source],
    max_pixels: int,
    mode: ResizeMode,
    size: int,
    folder: Path,
    store: Path,
    item: Item,
) -> dict[str, Any]:
    image_id, _, _, sha256 = item
    name = f"{image_id}.png"
    stored = store / sha256[:2] / f"{sha256}.png"
    content = stored.read_bytes() if stored.is_file() else b""
    if not content.endswith(PNG_END):  # absent, or cut short by a loss of power
        image = _decode(sources, item, max_pixels, 2 * size)
        content = write_png(stored, resize_image(image, size, mode))
        stored.chmod(0o444)  # it has other names, below which nobody may change it
    target = folder / name
    if not (target.is_file() and target.samefile(stored)):
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(stored, target)
    return index_row(name, content)
