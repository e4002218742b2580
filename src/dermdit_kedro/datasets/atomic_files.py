"""Kedro's files, there whole or not at all.

Kedro writes a table or a page in place: a kill in the middle leaves half a file, which `--only-missing-outputs` then
takes for a finished one. These data sets are Kedro's own, but write beside the file and rename.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from kedro_datasets import json, pandas, plotly, text
from kedro_datasets._typing import HTMLPreview, JSONPreview, PlotlyPreview

from dermdit_kedro.atomic import atomic_file, mend
from dermdit_kedro.datasets.previews import json_preview, page_preview


class _Atomic:
    """Before Kedro's own data set in the bases: its `save` writes to a file beside the target."""

    def save(self, data: Any) -> None:
        """Write what `load` will return, whole or not at all; a store that is no disk does so by itself.

        Args:
            data: What Kedro's data set of this name saves.
        """
        kept: PurePosixPath = self._filepath  # type: ignore[has-type]
        if self._protocol != "file" or self._version:  # type: ignore[attr-defined]
            super().save(data)  # type: ignore[misc]
            return
        target = Path(kept)
        if target.parent.is_dir():
            mend(target.parent, target.name)
        with atomic_file(target) as aside:
            self._filepath = PurePosixPath(aside)
            try:
                super().save(data)  # type: ignore[misc]
            finally:
                self._filepath = kept


class ParquetDataset(_Atomic, pandas.ParquetDataset):
    """`pandas.ParquetDataset`, saved atomically."""


class CSVDataset(_Atomic, pandas.CSVDataset):
    """`pandas.CSVDataset`, saved atomically."""


class JSONDataset(_Atomic, json.JSONDataset):
    """`json.JSONDataset`, saved atomically."""

    def preview(self) -> JSONPreview:
        """Show the document, shortened."""
        return json_preview(self.load())


class HistoryDataset(JSONDataset):
    """A training history: a `JSONDataset` that Kedro-Viz shows as its curves."""

    def preview(self) -> PlotlyPreview:
        """Draw the losses by training step."""
        from dermdit_kedro.report.figures import training_curves_figure

        return PlotlyPreview(training_curves_figure({Path(self._filepath).parent.name: self.load()}).to_plotly_json())


class TextDataset(_Atomic, text.TextDataset):
    """`text.TextDataset`, saved atomically."""

    def preview(self) -> HTMLPreview:
        """Show what the page says, without its scripts and pictures."""
        return page_preview(self.load())


class PlotlyDataset(_Atomic, plotly.JSONDataset):
    """`plotly.JSONDataset`, saved atomically."""
