"""Numbers as a reader sees them."""

from typing import Any

import pytest

from dermdit_kedro.report import cells


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (0.12345, "0.123"),
        (12345, "12,345"),
        (0, "0"),
        ("n/a", "n/a"),
        (-0.0001, "0.000"),
        (-0.2, "\u22120.200"),
    ],
)
def test_numbers(value: Any, text: str) -> None:
    assert cells.number(value) == text


def test_spreads_and_rates() -> None:
    assert cells.spread({"interval": [0.1, 0.25]}) == "0.100\u20130.250"
    assert cells.spread({"interval": [None, 1]}) == cells.spread(None) == ""
    assert cells.rate({"value": 0.123}) == cells.rate(0.123) == "12.3%"
    assert cells.rate(None) == "not measured"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0 %"), (0, 9, "0 %"), (1, 9999, "under 0.1 %"), (3, 1000, "0.3 %"), (4570, 10015, "46 %"),
     (9999, 10000, "over 99 %"), (7, 7, "100 %")],
)  # fmt: skip
def test_a_little_is_not_none_and_almost_all_not_all(part: int, whole: int, text: str) -> None:
    assert cells.percent(part, whole).replace("\u00a0", " ") == text
