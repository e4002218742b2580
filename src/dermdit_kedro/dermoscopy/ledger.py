"""What was found about each image, kept between runs: a rerun looks only at what is new or has changed.

A ledger is a folder of Parquet parts, each written whole; a kill loses the seconds since the last one.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.atomic import atomic_file, mend
from dermdit_kedro.dermoscopy.parallel import work_through
from dermdit_kedro.dermoscopy.records import conform

PART_S = 10.0
"""Seconds between two parts."""

PART_ROWS = 50_000
"""Rows of a part at most."""

MANY_PARTS = 16
"""More parts than this are put together into one."""


class Ledger:
    """Rows by key.

    Args:
        folder: Where the parts are; it is created.
        dtypes: Column -> dtype of the rows, without the key; the key of a row is the column `key`.
    """

    def __init__(self, folder: Path, dtypes: Mapping[str, str]) -> None:
        self._folder, self._dtypes = folder, {"key": "str", **dtypes}
        folder.mkdir(parents=True, exist_ok=True)
        mend(folder)

    def rows(self) -> pd.DataFrame:
        """Return all rows, each key once, by key."""
        parts = [pd.read_parquet(path) for path in sorted(self._folder.glob("*.parquet"))]
        table = pd.concat([conform(pd.DataFrame(), self._dtypes), *parts], ignore_index=True)
        return table.drop_duplicates("key").set_index("key")

    def complete(
        self,
        keys: pd.Series,
        look: Callable[[Any], Mapping[str, Any]],
        items: Iterable[Any],
        what: str,
        num_workers: int = 0,
    ) -> pd.DataFrame:
        """Look at the items whose key is not known, and return a row for each.

        Args:
            keys: What tells each item from others and from what it was before; null is looked at in every run.
            look: See `work_through`; the columns of a row.
            items: One for each key.
            what: The work, in the words of the node.
            num_workers: Processes; 0 uses every core.

        Returns:
            The rows in the order of the keys, with a fresh index; columns as `dtypes` has them.
        """
        known = self.rows()
        keys = keys.reset_index(drop=True)
        is_new = keys.isna() | ~(keys.isin(known.index) | keys.duplicated())
        fresh = (item for item, new in zip(items, is_new, strict=True) if new)
        found = work_through(look, fresh, int(is_new.sum()), what, num_workers)
        new_keys = keys[is_new]
        passing = []
        for rows in _parts({**row, "key": key} for key, row in zip(new_keys, found, strict=True)):
            table = conform(pd.DataFrame(rows), self._dtypes)
            keep = table["key"].notna()
            passing.append(table[~keep].drop(columns="key"))
            if keep.any():
                self._write(table[keep])
        self._tidy()
        return self._collect(keys, passing)

    def _collect(self, keys: pd.Series, passing: list[pd.DataFrame]) -> pd.DataFrame:
        kept = self.rows().reindex(keys.dropna()).set_index(keys.dropna().index)
        others = pd.concat([kept.iloc[:0], *passing], ignore_index=True).set_axis(keys.index[keys.isna()])
        return pd.concat([kept, others]).sort_index()

    def _write(self, table: pd.DataFrame) -> None:
        with atomic_file(self._folder / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.parquet") as aside:
            table.to_parquet(aside, index=False)

    def _tidy(self) -> None:
        parts = list(self._folder.glob("*.parquet"))
        if len(parts) > MANY_PARTS:
            self._write(self.rows().reset_index())
            for part in parts:
                part.unlink()


def _parts(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut a stream of rows by time and by number."""
    part: list[dict[str, Any]] = []
    start = time.monotonic()
    for row in rows:
        part.append(row)
        if len(part) >= PART_ROWS or time.monotonic() - start >= PART_S:
            yield part
            part, start = [], time.monotonic()
    if part:
        yield part
