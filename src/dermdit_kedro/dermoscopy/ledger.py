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
        keep: Which rows of a table are worth keeping; the others are looked at again in every run.
    """

    def __init__(
        self, folder: Path, dtypes: Mapping[str, str], keep: Callable[[pd.DataFrame], pd.Series] | None = None
    ) -> None:
        self._folder, self._dtypes, self._keep = folder, {"key": "str", **dtypes}, keep
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
        names = keys.where(keys.notna(), "?" + keys.index.astype("str"))  # for this run alone
        is_new = ~(names.isin(known.index) | names.duplicated())
        fresh = (item for item, new in zip(items, is_new, strict=True) if new)
        found = work_through(look, fresh, int(is_new.sum()), what, num_workers)
        passing = []
        for rows in _parts({**row, "key": name} for name, row in zip(names[is_new], found, strict=True)):
            table = conform(pd.DataFrame(rows), self._dtypes)
            stays = ~table["key"].str.startswith("?") & self._is_worth_keeping(table)
            passing.append(table[~stays])
            if stays.any():
                self._write(table[stays])
        self._tidy()
        every = pd.concat([self.rows().reset_index(), *passing], ignore_index=True).set_index("key")
        return every.reindex(names).reset_index(drop=True)

    def _is_worth_keeping(self, table: pd.DataFrame) -> "pd.Series | bool":
        return True if self._keep is None else self._keep(table)

    def _write(self, table: pd.DataFrame) -> None:
        with atomic_file(self._folder / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.parquet") as aside:
            table.to_parquet(aside, index=False)

    def _tidy(self) -> None:
        parts = list(self._folder.glob("*.parquet"))
        if len(parts) > MANY_PARTS:
            self._write(self.rows().reset_index())
            for part in parts:
                part.unlink(missing_ok=True)


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
