"""Layout `phantom`: procedural images, rendered when they are read."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
from PIL import Image
from pydantic import Field

from dermdit_kedro.dermoscopy.layouts.source import Expect, Source, parse_options
from dermdit_kedro.dermoscopy.phantom import record, render
from dermdit_kedro.dermoscopy.phantom_parameters import PhantomConfig
from dermdit_kedro.dermoscopy.records import RECORD_DTYPES, conform, make_image_id


class PhantomOptions(PhantomConfig):
    """Options of the layout.

    Attributes:
        size: Side of the rendered images, in pixels.
        expect: Counts the source must have.
    """

    size: int = Field(default=64, ge=16)
    expect: Expect | None = None


@lru_cache(maxsize=4096)
def _rendered(options: str, index: int) -> bytes:
    """Render and encode once for all nodes that read the image."""
    parsed = PhantomOptions.model_validate_json(options)
    buffer = io.BytesIO()
    Image.fromarray(render(parsed, index, parsed.size).image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True)
class PhantomSource:
    """Phantoms as a source; `file` is the index of the image as text.

    Attributes:
        name: Name in the catalog.
        role: train or test.
        options: How many, from which seed.
    """

    name: str
    role: str
    options: PhantomOptions

    @property
    def layout(self) -> str:
        """Name of the layout."""
        return "phantom"

    @property
    def expect(self) -> Expect | None:
        """Counts it must have, if any are given."""
        return self.options.expect

    def records(self) -> pd.DataFrame:
        """Return the metadata of the phantoms; the true tone stays behind, as real sources have none."""
        rows = pd.DataFrame([record(self.options, index) for index in range(self.options.num_images)])
        rows["file"] = [f"{index}.png" for index in range(len(rows))]
        rows["image_id"] = [make_image_id(self.name, str(name)) for name in rows["image_id"]]
        rows = rows.assign(source=self.name, role=self.role, modality="dermoscopic")
        return conform(rows.drop(columns=["tone_group", "ita_degrees"], errors="ignore"), RECORD_DTYPES)

    def read_bytes(self, file: str) -> bytes:
        """Return one phantom as PNG bytes."""
        stem = file.removesuffix(".png")
        if not stem.isdigit() or int(stem) >= self.options.num_images:
            raise FileNotFoundError(f"{self.name} has images 0.png to {self.options.num_images - 1}.png. Got {file!r}")
        return _rendered(self.options.model_dump_json(), int(stem))

    def stamp(self, file: str) -> str | None:
        """Return a hash of what the phantom is drawn from."""
        return hashlib.sha256(self.options.model_dump_json().encode()).hexdigest()[:16]

    def num_unused_files(self) -> int:
        """Return 0: there are no files."""
        return 0


def open_source(name: str, role: str, options: Mapping[str, Any]) -> Source:
    """Open a source of phantoms; see `layouts.open_source`."""
    return PhantomSource(name, role, parse_options(name, PhantomOptions, options))
