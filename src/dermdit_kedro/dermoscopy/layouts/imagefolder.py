"""Layout `imagefolder`: a folder that `datasets.load_dataset("imagefolder", ...)` opens (Hugging Face datasets).

```yaml
collected:
  layout: imagefolder
  role: train
  path: ${globals:paths.raw}/collected
  columns: {diagnosis: label}
  values: {diagnosis: {MEL: melanoma, NV: nevus}}
```

Either folders named by a class, or `metadata.csv`, `metadata.jsonl` or `metadata.parquet` with the column `file_name`
(relative to the table) in the folder or in folders below it, or both. Where the tables have no column `label`, it is
what an image's folder is called, as `datasets` has it. `columns` and `values` are those of the layout `table`; without
`columns`, columns that go by our names are taken, and `label` for the diagnosis where no label is among them.

Folders `train`, `validation` and `test` (or the other names `datasets` knows) at the top are splits. A source of role
`train` reads train and validation, which this project deals out anew; one of role `test` reads test; `splits` says
otherwise. What is not read is counted as unused in the data report.
"""

import io
import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.columns import ATTRIBUTES, LABELS, ColumnOptions, translate_columns
from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.listing import bare_name
from dermdit_kedro.dermoscopy.layouts.places import TableFile
from dermdit_kedro.dermoscopy.layouts.tables import image_names, read_table
from dermdit_kedro.dermoscopy.records import Diagnosis
from dermdit_kedro.errors import UserError

ORIGIN: Final = "an image folder as Hugging Face datasets reads it: folders of classes, or metadata.csv with file_name"
TABLES: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE, LABEL = "file_name", "label"

Split = Literal["train", "validation", "test"]
SPLITS: Final[dict[str, Split]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}  # fmt: skip
"""Name of a folder, in lower case -> the split it is."""

ROLES: Final[dict[str, tuple[Split, ...]]] = {"train": ("train", "validation"), "test": ("test",)}


class ImageFolderOptions(ColumnOptions):
    """Options of the layout, beside `columns`, `values`, `modality` and `akiec_is_malignant`.

    Attributes:
        splits: Which splits are read, where there are such folders; null for those of the role.
    """

    splits: tuple[Split, ...] | None = None


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of the tables, or of the images where there is none; see `FolderSource`."""
    options = source.options
    assert isinstance(options, ImageFolderOptions)
    files = [file for file in source.files if not _is_hidden(file)]
    tables = [table for table in source.named_files(*TABLES) if not _is_hidden(table)]
    wanted = _wanted(source, options, files)
    table = _read_all(source, tables) if tables else pd.DataFrame({FILE: files}, dtype="str")
    if wanted is not None:
        table = table[[_split_of(file) in wanted for file in table[FILE]]].reset_index(drop=True)
    if LABEL not in table:
        folders = pd.Series([_folder_of(file, wanted is not None) for file in table[FILE]], dtype="str")
        table = table.assign(**{LABEL: _as_words(folders, options)})
    columns = options.columns or _own_columns(source, table, is_named=bool(tables))
    missing = [yours for yours in columns.values() if yours not in table]
    if missing:
        raise UserError(f"sources.{source.name}.columns: there is no column {missing[0]}; there are {_list(table)}")
    names = table[FILE].map(bare_name)
    rows = translate_columns(table, columns, names, options, str(source.root))
    return rows.assign(name=names, file=table[FILE])


def _is_hidden(file: str) -> bool:
    """Whether `datasets` passes a file over."""
    return any(part.startswith((".", "__")) for part in PurePosixPath(file).parts)


def _split_of(file: str) -> Split | None:
    first, slash, _ = file.partition("/")
    return SPLITS.get(first.lower()) if slash else None


def _wanted(source: FolderSource, options: ImageFolderOptions, files: Sequence[str]) -> tuple[Split, ...] | None:
    """Return the splits to read; null where the folder has none."""
    there = sorted({split for file in files if (split := _split_of(file))})
    if not there:
        if options.splits is not None:
            raise UserError(f"sources.{source.name}.splits: {source.root} has no folder {' or '.join(options.splits)}")
        return None
    wanted = ROLES[source.role] if options.splits is None else options.splits
    if not set(wanted) & set(there):
        raise UserError(
            f"sources.{source.name}: {source.root} has the splits {', '.join(there)}, and role {source.role} reads "
            f"{', '.join(wanted)}. Give another role, or splits: [{there[0]}]"
        )
    return wanted


def _read_all(source: FolderSource, tables: Sequence[str]) -> pd.DataFrame:
    folders = [PurePosixPath(table).parent for table in tables]
    twice = [table for table, folder in zip(tables, folders, strict=True) if folders.count(folder) > 1]
    if twice:
        raise UserError(f"{source.root}: a folder must hold one table of images. Got {' and '.join(twice)}")
    return pd.concat([_read(source, table) for table in tables], ignore_index=True)


def _read(source: FolderSource, name: str) -> pd.DataFrame:
    """Read one table; its files are named from the source's folder."""
    path = source.root / name
    if name.endswith(".csv"):
        table = read_table(path, [FILE], ORIGIN)
    else:
        table = _as_text(_read_typed(path))
        if FILE not in table:
            raise UserError(f"{path} lacks the column {FILE}; it has {_list(table)}. See {ORIGIN}")
        if table.empty:
            raise UserError(f"{path} has no row. See {ORIGIN}")
    folder = PurePosixPath(name).parent
    files = image_names(table[FILE], f"`{FILE}` in {path}")
    return table.assign(**{FILE: [str(folder / file.replace("\\", "/")) for file in files]})


def _read_typed(path: TableFile) -> pd.DataFrame:
    content = path.read_bytes()
    if path.name.endswith(".parquet"):
        try:
            return pd.read_parquet(io.BytesIO(content))
        except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of these
            raise UserError(f"{path} is no parquet file, or was cut off: {error}") from error
    rows = []
    for number, line in enumerate(content.decode("utf-8-sig", errors="replace").split("\n"), 1):
        try:
            row = json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            raise UserError(f"{path}: every line must be a JSON object. Line {number} is not: {error}") from error
        if row is not None and not isinstance(row, dict):
            raise UserError(f"{path}: every line must be a JSON object. Line {number} is a {type(row).__name__}")
        rows += [row] if row is not None else []
    return pd.DataFrame(rows)


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table's values as a CSV would have them: text, stripped, null where there is none."""
    return pd.DataFrame({str(name): pd.Series(map(_text, table[name]), dtype="str") for name in table})


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if value is None or (not isinstance(value, list | dict) and pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _folder_of(file: str, is_split: bool) -> str | None:
    """Return the name of the folder an image lies in, as `datasets` takes it for a label; null for the top."""
    above = PurePosixPath(file).parts[1 if is_split else 0 : -1]
    return above[-1] if above else None


def _as_words(labels: pd.Series, options: ImageFolderOptions) -> pd.Series:
    """Write folders such as `Basal_cell-carcinoma` with spaces, but for those that `values` names as they are."""
    given = {str(word).lower() for words in options.values.values() for word in words}
    return labels.map(
        lambda word: word if word.lower() in given else word.replace("_", " ").replace("-", " "), na_action="ignore"
    ).astype("str")  # of nothing but nulls, map makes numbers


def _own_columns(source: FolderSource, table: pd.DataFrame, is_named: bool) -> dict[str, str]:
    """Take the columns that go by our names, and the folder for the diagnosis where none is a label."""
    found = {name: name for name in ATTRIBUTES if name in table}
    if set(LABELS) & set(found):
        return found
    words = {*map(str, Diagnosis), *(str(word).lower() for word in source.option("values").get("diagnosis", {}))}
    labels = table[LABEL].dropna().str.lower()
    if len(labels) and (not is_named or labels.isin(words).any()):  # of tables, `images/` is no class
        return {**found, "diagnosis": LABEL}
    raise UserError(
        f"sources.{source.name}.columns must name a diagnosis, is_malignant or is_melanoma, such as "
        f"{{diagnosis: {LABEL}}}; the columns of {source.root} are {_list(table)}. See {ORIGIN}"
    )


def _list(table: pd.DataFrame) -> str:
    return ", ".join(map(str, table.columns))


open_source = opener("imagefolder", ORIGIN, harmonise, ImageFolderOptions)
