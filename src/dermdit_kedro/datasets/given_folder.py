"""A model's folder that the user has, in place of one that a run makes: read, and never written to."""

from pathlib import Path
from typing import Any, Final, NoReturn

from kedro.io import DatasetError

from dermdit_kedro.datasets.folder import FolderDataset
from dermdit_kedro.handles import Folder, fingerprint_weights


class GivenFolderDataset(FolderDataset):
    """Loads a handle to a folder that is there already, with or without the marker of a finished one.

    Its files' names, sizes and times of change are its identity: another folder, or a changed one, is drawn from anew.

    Args:
        filepath: The folder.
        kind: Name of a handle class of `handles`.
        metadata: For plugins such as Kedro-Viz.
    """

    is_given: Final = True
    """What tells it from a folder that a pipeline makes."""

    def __init__(self, *, filepath: str, kind: str = "ModelFolder", metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath=filepath, kind=kind, metadata=metadata)

    def load(self) -> Folder:
        """Refer to the folder.

        Returns:
            A handle of the kind, whose path holds wherever the run goes on.

        Raises:
            DatasetError: If there is no such folder.
        """
        if not self._exists():
            raise DatasetError(f"there is no folder {self._path}; filepath in the catalog must lead to one")
        return self._kind(self._path.resolve(), str(fingerprint_weights(str(self._path))))

    def save(self, data: Folder) -> NoReturn:
        """Refuse: the folder is the user's.

        Args:
            data: Anything.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self._path} is given and read only")

    def _exists(self) -> bool:
        return Path(self._path).is_dir()
