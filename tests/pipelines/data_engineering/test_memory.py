"""Memory does not grow with the number of images."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pipelines.data_engineering.runs import Runs


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_2000_images_need_the_memory_of_10015(
    tracked_project: Path, root: Path, require: Callable[[Path], None]
) -> None:
    folder = root / "data" / "01_raw" / "ham10000"
    require(folder)
    (tracked_project / "data" / "01_raw" / "ham10000").symlink_to(folder.resolve())
    runs = Runs(tracked_project, "ham10000")
    few = runs.peak_memory("--params", "data_engineering.max_images=2000")
    many = runs.peak_memory()
    print(f"2,000 images: {few / 2**20:.0f} MiB; 10,015: {many / 2**20:.0f} MiB")  # noqa: T201
    assert many <= 1.1 * few
