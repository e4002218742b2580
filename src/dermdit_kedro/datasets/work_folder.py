"""The folder of all work folders: made when it is first asked for."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from dermdit_kedro.handles import COMPLETE


class WorkFolderDataset(AbstractDataset[Any, Path]):
    """A folder that always exists; deleting it costs time, never results.

    Args:
        filepath: The folder.
        metadata: For plugins such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> Path:
        """Create the folder if need be and return its path."""
        self._path.mkdir(parents=True, exist_ok=True)
        return self._path

    def save(self, data: Any) -> NoReturn:
        """Refuse: jobs write into it, nodes do not.

        Args:
            data: Anything.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self._path} is written by jobs and cannot be the output of a node")

    def preview(self) -> TablePreview:
        """Show the jobs, the latest first, and which are finished."""
        jobs = sorted((job for job in self._path.glob("*/") if job.is_dir()), key=lambda job: -job.stat().st_mtime)
        rows = [[job.name, "yes" if (job / "result" / COMPLETE).is_file() else "no"] for job in jobs]
        return TablePreview({"index": list(range(len(rows))), "columns": ["job", "finished"], "data": rows})

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
