"""A folder of the user's own as a data set: read, told from what it was before, never written to."""

from pathlib import Path

import pytest
from kedro.io import DatasetError

from dermdit_kedro.datasets.given_folder import GivenFolderDataset
from dermdit_kedro.handles import ModelFolder


def test_a_given_folder_needs_no_marker_and_is_told_by_its_files(tmp_path: Path) -> None:
    dataset = GivenFolderDataset(filepath=str(tmp_path / "model"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"there is no folder .*model"):
        dataset.load()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    first = dataset.load()
    assert isinstance(first, ModelFolder)
    assert first.path == tmp_path / "model"
    assert dataset.load() == first
    (tmp_path / "model/config.json").write_text("{ }")
    assert dataset.load().fingerprint != first.fingerprint
    with pytest.raises(DatasetError, match="given and read only"):
        dataset.save(first)
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["config.json"]
