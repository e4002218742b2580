"""What was found is kept between runs; a rerun looks only at what is new."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dermdit_kedro.dermoscopy import ledger as module
from dermdit_kedro.dermoscopy.ledger import Ledger

DTYPES = {"square": "Int64", "word": "str"}


class Squares:
    """Counts whom it looked at; fails at one number if asked to."""

    def __init__(self, failing: int | None = None) -> None:
        self.seen: list[int] = []
        self.failing = failing

    def __call__(self, number: int) -> dict[str, Any]:
        if number == self.failing:
            raise RuntimeError("killed")
        self.seen.append(number)
        return {"square": number**2, "word": None if number % 2 else "even"}


def complete(folder: Path, numbers: list[int | None], look: Squares) -> pd.DataFrame:
    keys = pd.Series([None if n is None else f"k{n}" for n in numbers], dtype="str")
    return Ledger(folder, DTYPES).complete(keys, look, [n or 0 for n in numbers], "square", 1)


def test_rows_come_in_the_order_of_the_keys_whether_known_or_not(tmp_path: Path) -> None:
    complete(tmp_path, [5, 2, 9], Squares())
    look = Squares()
    rows = complete(tmp_path, [1, 2, 3, 9, 2, 1], look)
    assert look.seen == [1, 3]
    assert rows["square"].tolist() == [1, 4, 9, 81, 4, 1]
    assert rows["word"].fillna("").tolist() == ["", "even", "", "", "even", ""]
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == DTYPES


def test_what_has_no_key_is_looked_at_in_every_run(tmp_path: Path) -> None:
    for _ in range(2):
        look = Squares()
        assert complete(tmp_path, [None, 3, None], look)["square"].tolist() == [0, 9, 0]
    assert look.seen == [0, 0]
    assert complete(tmp_path, [], look).empty
    assert complete(tmp_path / "new", [], look).empty


def test_rows_not_worth_keeping_are_looked_at_once_in_every_run(tmp_path: Path) -> None:
    keys = pd.Series(["k1", "k2", "k3", "k2", "k2"], dtype="str")
    for _ in range(2):
        look = Squares()
        book = Ledger(tmp_path, DTYPES, keep=lambda rows: rows["word"].isna())
        assert book.complete(keys, look, [1, 2, 3, 2, 2], "square", 1)["square"].tolist() == [1, 4, 9, 4, 4]
    assert look.seen == [2]


def test_what_was_found_before_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 3)
    with pytest.raises(RuntimeError, match="killed"):
        complete(tmp_path, list(range(10)), Squares(failing=7))
    (tmp_path / ".1.parquet.0123abcd.tmp").write_bytes(b"half a part")
    look = Squares()
    assert complete(tmp_path, list(range(10)), look)["square"].tolist() == [n**2 for n in range(10)]
    assert look.seen == [6, 7, 8, 9]
    assert not list(tmp_path.glob(".*"))


def test_many_parts_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 1)
    complete(tmp_path, list(range(module.MANY_PARTS + 1)), Squares())
    assert len(list(tmp_path.iterdir())) == 1
    look = Squares()
    assert complete(tmp_path, list(range(20)), look)["square"].tolist() == [n**2 for n in range(20)]
    assert look.seen == [17, 18, 19]
