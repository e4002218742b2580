"""Kedro's own files, there whole or not at all."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DatasetError
from omegaconf import OmegaConf

from dermdit_kedro.datasets.atomic_files import CSVDataset, JSONDataset, ParquetDataset, PlotlyDataset, TextDataset

TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
CASES = [
    (ParquetDataset, "t.parquet", TABLE, TABLE.assign(a=[object(), 1])),
    (CSVDataset, "t.csv", TABLE, 3),
    (JSONDataset, "t.json", {"a": 1}, {"a": object()}),
    (TextDataset, "t.txt", "hello", 3),
    (PlotlyDataset, "t.plotly.json", go.Figure(), 3),
]


@pytest.mark.parametrize(("kind", "name", "good", "bad"), CASES)
def test_a_failed_save_leaves_the_old_file(kind: Any, name: str, good: Any, bad: Any, tmp_path: Path) -> None:
    dataset = kind(filepath=str(tmp_path / "deep" / name))
    assert not dataset.exists()
    dataset.save(good)
    before = (tmp_path / "deep" / name).read_bytes()
    with pytest.raises(DatasetError):
        dataset.save(bad)
    assert (tmp_path / "deep" / name).read_bytes() == before
    assert [path.name for path in (tmp_path / "deep").iterdir()] == [name]
    assert type(dataset.load()) is type(good)


def test_a_save_clears_what_a_kill_left_of_the_same_file(tmp_path: Path) -> None:
    (tmp_path / ".t.txt.0123abcd.tmp").write_text("half")
    (tmp_path / ".other.txt.0123abcd.tmp").write_text("somebody is writing this")
    TextDataset(filepath=str(tmp_path / "t.txt")).save("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.txt.0123abcd.tmp", "t.txt"]


def test_a_store_that_is_no_disk_is_left_to_kedro() -> None:
    dataset = TextDataset(filepath="memory://atomic/t.txt")
    dataset.save("kept")
    assert dataset.load() == "kept"


def test_a_kill_while_saving_never_leaves_half_a_file(tmp_path: Path) -> None:
    script = (
        "import pandas as pd, sys\n"
        "from dermdit_kedro.datasets.atomic_files import CSVDataset\n"
        f"dataset = CSVDataset(filepath={str(tmp_path / 't.csv')!r}, save_args=dict(index=False))\n"
        "print('ready', flush=True)\n"
        "while True:\n    dataset.save(pd.DataFrame({'a': range(200_000)}))\n"
    )
    for pause in (0.05, 0.3):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(pause)
        child.send_signal(signal.SIGKILL)
        child.wait()
        if (tmp_path / "t.csv").exists():
            assert len(pd.read_csv(tmp_path / "t.csv")) == 200_000


def test_every_file_of_the_catalog_is_atomic(root: Path) -> None:
    kinds = {
        entry.get("dataset", entry["type"])  # of a folder of files the type of each
        for path in (root / "conf").rglob("catalog*.yml")
        for entry in OmegaConf.to_container(OmegaConf.load(path), resolve=False).values()
    }
    assert {kind.rpartition(".")[0] for kind in kinds} <= {
        f"dermdit_kedro.datasets.{module}"
        for module in ("atomic_files", "folder", "image_folder", "sources", "work_folder")
    }
