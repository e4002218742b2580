"""Whatever a folder holds: the run ends, and each row is right in the manifest or in quarantine for its reason."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.dermoscopy.hostile_bytes import CELLS
from tests.dermoscopy.hostile_files import Row, write_hostile_folder
from tests.peak_memory import PeakMemory

from dermdit_kedro.dermoscopy.layouts import open_source
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.pipelines.data_engineering import nodes

SIZE = 32
TOLERANCE = 16
"""What JPEG, CMYK and resizing may do to the colour in the middle of a cell."""


def run(folder: Path, work_dir: Path, workers: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Path]:
    """Run the nodes from sources to images."""
    config = DataEngineeringConfig(num_workers=workers)
    columns = {"image": "file", "diagnosis": "diagnosis"}
    entry = {"layout": "table", "role": "train", "path": str(folder), "table": "table.csv", "columns": columns}
    sources: dict[str, Any] = {"wild": open_source("wild", entry)}
    records = nodes.read_sources(sources, config, 0)
    inspected, quarantine = nodes.inspect_images(sources, records, config, work_dir)
    tones = nodes.measure_skin_tone(sources, inspected, config, work_dir)
    clusters = nodes.link_duplicates(sources, inspected, config)
    manifest = nodes.assign_splits(inspected, tones, clusters, config, 0)
    images = nodes.prepare_images(sources, manifest, config, SIZE, work_dir)
    return records, manifest, quarantine, images.path


def colours_of(path: Path) -> np.ndarray:
    """The colour in the middle of each cell."""
    step = SIZE // CELLS
    pixels = np.asarray(Image.open(path)).astype(float).reshape(CELLS, step, CELLS, step, 3)
    return pixels[:, 3:5, :, 3:5].mean(axis=(1, 3))


def fault_of(row: Row, image_id: str, manifest: pd.DataFrame, quarantine: pd.DataFrame, images: Path) -> str | None:
    """Say what is wrong with what became of a row."""
    if image_id in quarantine.index:
        reason, detail = quarantine.loc[image_id, ["reason", "detail"]]
        return None if reason == row.fate.reason else f"{reason} ({detail}), not {row.fate.reason}"
    if row.fate.reason:
        return f"in the manifest, not {row.fate.reason}"
    width, height = manifest.loc[image_id, ["width", "height"]]
    if (width, height) != row.fate.size:
        return f"{width} x {height}, not {row.fate.size}"
    off = np.abs(colours_of(images / f"{image_id}.png") - row.fate.cells).max()
    return None if off <= TOLERANCE else f"colours are off by {off:.0f}"


def check(folder: Path, rows: list[Row], work_dir: Path, workers: int) -> None:
    records, manifest, quarantine, images = run(folder, work_dir, workers)
    assert len(records) == len(rows)
    assert sorted([*manifest["image_id"], *quarantine["image_id"]]) == sorted(records["image_id"])
    assert not quarantine["detail"].str.contains(str(folder), regex=False).any()
    manifest, quarantine = manifest.set_index("image_id"), quarantine.set_index("image_id")
    twice = records["image_id"].duplicated(keep=False)
    faults = Counter()
    for row, image_id, is_twice in zip(rows, records["image_id"], twice, strict=True):
        if is_twice:
            assert set(quarantine.loc[image_id, "reason"]) <= {row.fate.reason, "duplicate_id"}
        elif fault := fault_of(row, image_id, manifest, quarantine, images):
            faults[f"{row.kind}: {fault}"] += 1
    assert not faults, "\n".join(f"{count} x {fault}" for fault, count in faults.most_common())


@pytest.mark.timeout(120)
def test_no_file_stops_a_run_or_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = write_hostile_folder(tmp_path / "wild", 150, seed=1, costly=0)
    monkeypatch.setattr("subprocess.Popen", None)  # no decoder may start a program
    check(tmp_path / "wild", rows, tmp_path / "work", workers=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_five_thousand_hostile_files_fit_into_two_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = write_hostile_folder(tmp_path / "wild", 5_000, seed=2, costly=6)
    with PeakMemory() as memory:
        check(tmp_path / "wild", rows, tmp_path / "work", workers=2)
    assert memory.peak < 2e9, f"{memory.peak / 1e9:.2f} GB"
