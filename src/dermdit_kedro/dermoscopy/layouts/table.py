"""Layout `table`: anybody's own images, with a table whose columns and words are translated in `conf/`.

```yaml
clinic:
  layout: table
  role: test
  path: ${globals:paths.raw}/clinic
  table: lesions.csv
  modality: dermoscopic
  columns: {image: file_name, patient_id: patient, diagnosis: histology, sex: gender, age_approx: age}
  values:
    diagnosis: {MM: melanoma, naevus: nevus}
    sex: {m: male, f: female}
```
"""

from typing import Final, Self

import pandas as pd
from pydantic import model_validator

from dermdit_kedro.dermoscopy.layouts.columns import ATTRIBUTES, LABELS, ColumnOptions, translate_columns
from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.listing import bare_name
from dermdit_kedro.dermoscopy.layouts.tables import image_names, read_table
from dermdit_kedro.errors import UserError

ORIGIN: Final = "your images and your table (docs/guide.md, Add a data set)"


class TableOptions(ColumnOptions):
    """Options of the layout, beside `columns`, `values`, `modality` and `akiec_is_malignant`.

    Attributes:
        table: The table, relative to `path`, or an absolute path.
        columns: Our column -> yours; `image` (a file name, with or without ending, or a path below `path`) must be
            there, the others are the image's attributes (see `ColumnOptions`).
    """

    table: str
    columns: dict[str, str]

    @property
    def known_columns(self) -> tuple[str, ...]:
        """What `columns` may name."""
        return ("image", *ATTRIBUTES)

    @model_validator(mode="after")
    def _names_and_labels(self) -> Self:
        if "image" not in self.columns:
            raise ValueError("columns must say which column names the image: {image: ...}")
        if not set(LABELS) & set(self.columns):
            raise ValueError("columns must name a diagnosis, is_malignant or is_melanoma")
        return self


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of the table; see `FolderSource`."""
    options = source.options
    assert isinstance(options, TableOptions)
    path = source.root / options.table
    if not path.is_file():
        raise UserError(f"sources.{source.name}.table: there is no file {path}")
    table = read_table(path, list(options.columns.values()), ORIGIN)
    columns = dict(options.columns)
    image = image_names(table[columns["image"]], f"`{columns.pop('image')}` in {path}")
    names = pd.Series([bare_name(name.replace("\\", "/")) for name in image], index=table.index)
    rows = translate_columns(table, columns, names, options, str(path))
    return rows.assign(name=names, file=[source.find_image(name) for name in image])


open_source = opener("table", ORIGIN, harmonise, TableOptions)
