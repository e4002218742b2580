"""A finished folder of images, with a contact sheet for Kedro-Viz."""

import base64
import io
from typing import Any

from kedro_datasets._typing import ImagePreview

from dermdit_kedro.datasets.folder import FolderDataset
from dermdit_kedro.handles import ImageFolder


class ImageFolderDataset(FolderDataset):
    """A `FolderDataset` of images with `index.parquet`.

    Args:
        filepath: The folder.
        metadata: For plugins such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath=filepath, kind="ImageFolder", metadata=metadata)

    def preview(self, nrows: int = 4, columns: int = 8) -> ImagePreview:
        """Draw a contact sheet of images spread evenly over the folder.

        Args:
            nrows: Rows of the sheet.
            columns: Images in a row.

        Returns:
            A PNG in base64.
        """
        from dermdit_kedro.dermoscopy.images import contact_sheet, read_rgb

        folder = self.load()
        assert isinstance(folder, ImageFolder)
        files = list(folder.index()["file"])
        count = min(nrows * columns, len(files))
        picked = [files[i * len(files) // count] for i in range(count)]
        buffer = io.BytesIO()
        contact_sheet([read_rgb(folder.path / file) for file in picked], columns).save(buffer, format="PNG")
        return ImagePreview(base64.b64encode(buffer.getvalue()).decode())
