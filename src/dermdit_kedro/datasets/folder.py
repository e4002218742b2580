"""A finished folder as a Kedro data set: there whole, with its marker, or not at all."""

import json
import shutil
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import HTMLPreview

from dermdit_kedro import handles
from dermdit_kedro.atomic import atomic_folder, link_or_copy, mend
from dermdit_kedro.datasets.previews import folder_preview
from dermdit_kedro.handles import COMPLETE, Folder

KINDS = {
    kind.__name__: kind
    for kind in (handles.ModelFolder, handles.ImageFolder, handles.Latents, handles.TextEmbeddings, handles.Features)
}


class FolderDataset(AbstractDataset[Folder, Folder]):
    """Saves a finished folder by hard links (copies across disks) and loads a handle to it.

    Args:
        filepath: The folder.
        kind: Name of a handle class of `handles`.
        metadata: For plugins such as Kedro-Viz.

    Raises:
        DatasetError: If the kind is unknown.
    """

    def __init__(self, *, filepath: str, kind: str, metadata: dict[str, Any] | None = None) -> None:
        if kind not in KINDS:
            raise DatasetError(f"kind must be one of {', '.join(KINDS)}. Got {kind!r}")
        self._path, self._kind, self.metadata = Path(filepath), KINDS[kind], metadata

    @property
    def _marker(self) -> Path:
        return self._path / COMPLETE

    def load(self) -> Folder:
        """Refer to the folder.

        Returns:
            A handle of the kind, with the fingerprint its marker holds.

        Raises:
            DatasetError: If the folder is missing or unfinished.
        """
        if not self._marker.is_file():
            raise DatasetError(f"the folder {self._path} is missing or unfinished: it has no {COMPLETE}")
        return self._kind(self._path, json.loads(self._marker.read_text())["fingerprint"])

    def save(self, data: Folder) -> None:
        """Put a finished folder in place; the same content is left as it is.

        Args:
            data: A finished folder, such as the result of a job.

        Raises:
            DatasetError: If it is of another kind or unfinished.
        """
        if not isinstance(data, self._kind):
            raise DatasetError(f"{self._path} holds a {self._kind.__name__}. Got a {type(data).__name__}")
        if not (data.path / COMPLETE).is_file():
            raise DatasetError(f"only a finished folder can be saved; {data.path} has no {COMPLETE}")
        if self._exists() and self.load().fingerprint == data.fingerprint:
            return
        if self._path.parent.is_dir():
            mend(self._path.parent, self._path.name)
        with atomic_folder(self._path) as aside:
            shutil.copytree(data.path, aside, dirs_exist_ok=True, copy_function=link_or_copy)

    def preview(self) -> HTMLPreview:
        """Show how large the content is, and a model's card."""
        return folder_preview(self.load())

    def _exists(self) -> bool:
        return self._marker.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "kind": self._kind.__name__}
