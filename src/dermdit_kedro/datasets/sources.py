"""What the graph reads: one catalog entry that names every source."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from dermdit_kedro.errors import UserError


class SourcesDataset(AbstractDataset[Any, dict[str, Any]]):
    """Sources by name; swapping a data set is a change of this entry.

    Args:
        sources: Name -> layout, role (train or test) and the layout's own options, such as path.
        metadata: For plugins such as Kedro-Viz.
    """

    def __init__(self, *, sources: dict[str, dict[str, Any]], metadata: dict[str, Any] | None = None) -> None:
        self._sources, self.metadata = sources, metadata
        self._opened: dict[str, Any] | None = None

    def load(self) -> dict[str, Any]:
        """Open the sources; the tables are read once, whichever nodes ask.

        Returns:
            Name -> `dermoscopy.layouts.Source`.

        Raises:
            UserError: If there is none, or an entry is refused.
        """
        from dermdit_kedro.dermoscopy.layouts import open_source

        if not self._sources:
            raise UserError("`sources` in the catalog must name at least one source. Got none")
        if self._opened is None:
            self._opened = {name: open_source(name, entry) for name, entry in self._sources.items()}
        return dict(self._opened)

    def save(self, data: Any) -> NoReturn:
        """Refuse: sources are read only.

        Args:
            data: Anything.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("`sources` is read only")

    def preview(self) -> TablePreview:
        """Show the sources, a line each: layout, role and the options of the layout."""
        columns = list(dict.fromkeys(["layout", "role", *(key for entry in self._sources.values() for key in entry)]))
        rows = [[str(entry.get(key, "")) for key in columns] for entry in self._sources.values()]
        return TablePreview({"index": list(self._sources), "columns": columns, "data": rows})

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"sources": self._sources}
