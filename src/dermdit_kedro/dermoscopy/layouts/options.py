"""Options that several layouts share."""

import os
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from dermdit_kedro.dermoscopy.layouts.source import Expect
from dermdit_kedro.parameters import Parameters


def _as_text(path: Any) -> Any:
    return os.fspath(path) if isinstance(path, os.PathLike) else path


class FolderOptions(Parameters):
    """Options of every layout of a folder.

    Attributes:
        path: The folder; or a zip archive, or an address that fsspec opens (`s3://bucket/folder`,
            `zip::s3://bucket/images.zip`).
        storage_options: What the store of an address is told; in a chain, what its last part is told, or by protocol.
        credentials: The same, from `conf/<env>/credentials.yml`: Kedro puts the entry in the place of its name.
        expect: Counts the source must have.
    """

    path: Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
    storage_options: dict[str, Any] = Field(default_factory=dict, repr=False)
    credentials: dict[str, Any] = Field(default_factory=dict, repr=False)
    expect: Expect | None = None


class AkiecOptions(FolderOptions):
    """Options of a layout with a class for actinic keratosis.

    Attributes:
        akiec_is_malignant: Whether actinic keratosis (with Bowen's disease) counts as malignant.
    """

    akiec_is_malignant: bool = True
