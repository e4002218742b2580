"""Fixtures of the data_engineering tests."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def require() -> Callable[[Path], None]:
    """Skip a test whose real data set is absent."""

    def check(folder: Path) -> None:
        if not folder.is_dir():
            pytest.skip(f"{folder.name} is not in data/01_raw (Harvard Dataverse, doi:10.7910/DVN/DBW86T)")

    return check
