"""Finished folders as data sets: there whole, or not at all."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from kedro_datasets._typing import ImagePreview
from PIL import Image

from dermdit_kedro.datasets.folder import FolderDataset
from dermdit_kedro.datasets.image_folder import ImageFolderDataset
from dermdit_kedro.datasets.work_folder import WorkFolderDataset
from dermdit_kedro.dermoscopy.images import build_image_index, write_png
from dermdit_kedro.handles import COMPLETE, ImageFolder, ModelFolder


def finish(folder: Path, fingerprint: str = "f1", content: str = "weights") -> ModelFolder:
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "sub" / "model.txt").write_text(content)
    (folder / COMPLETE).write_text(json.dumps({"fingerprint": fingerprint}))
    return ModelFolder(folder, fingerprint)


@pytest.fixture
def dataset(tmp_path: Path) -> FolderDataset:
    return FolderDataset(filepath=str(tmp_path / "data" / "model"), kind="ModelFolder")


def test_what_is_saved_is_loaded_as_a_handle(dataset: FolderDataset, tmp_path: Path) -> None:
    assert not dataset.exists()
    dataset.save(finish(tmp_path / "work"))
    handle = dataset.load()
    assert dataset.exists()
    assert handle == ModelFolder(tmp_path / "data" / "model", "f1")
    assert (handle.path / "sub" / "model.txt").read_text() == "weights"


def test_the_result_survives_the_work_folder(dataset: FolderDataset, tmp_path: Path) -> None:
    dataset.save(finish(tmp_path / "work"))
    (tmp_path / "work" / "sub" / "model.txt").unlink()
    assert (dataset.load().path / "sub" / "model.txt").read_text() == "weights"


def test_equal_fingerprints_are_left_alone_and_others_replaced(dataset: FolderDataset, tmp_path: Path) -> None:
    dataset.save(finish(tmp_path / "a"))
    dataset.save(finish(tmp_path / "b", content="not copied"))
    assert (dataset.load().path / "sub" / "model.txt").read_text() == "weights"
    dataset.save(finish(tmp_path / "c", "f2", "new"))
    assert dataset.load().fingerprint == "f2"
    assert (dataset.load().path / "sub" / "model.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["model"]


def test_failed_save_leaves_the_old_folder(
    dataset: FolderDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.save(finish(tmp_path / "a"))
    new = finish(tmp_path / "b", "f2", "new")
    monkeypatch.setattr("shutil.copytree", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(DatasetError, match="disk full"):
        dataset.save(new)
    assert dataset.load().fingerprint == "f1"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["model"]


def test_unfinished_folder_neither_exists_nor_loads_nor_is_saved(dataset: FolderDataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"data/model is missing or unfinished"):
        dataset.load()
    work = finish(tmp_path / "work")
    (work.path / COMPLETE).unlink()
    with pytest.raises(DatasetError, match="only a finished folder"):
        dataset.save(work)
    assert not dataset.exists()


def test_other_kinds_are_refused(dataset: FolderDataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds a ModelFolder\. Got a ImageFolder"):
        dataset.save(ImageFolder(finish(tmp_path / "work").path, "f1"))
    with pytest.raises(DatasetError, match="kind must be one of"):
        FolderDataset(filepath="x", kind="Zip")


def test_image_folder_previews_a_contact_sheet(tmp_path: Path) -> None:
    for i in range(20):
        write_png(tmp_path / "work" / f"s/{i}.png", np.full((8, 8, 3), i * 12, dtype=np.uint8))
    build_image_index(tmp_path / "work")
    (tmp_path / "work" / COMPLETE).write_text('{"fingerprint": "f"}')
    dataset = ImageFolderDataset(filepath=str(tmp_path / "images"))
    dataset.save(ImageFolder(tmp_path / "work", "f"))
    sheet = Image.open(io.BytesIO(base64.b64decode(dataset.preview(nrows=2, columns=4))))
    assert sheet.width == 2 * sheet.height
    assert sheet.getpixel((5, 5)) == (0, 0, 0)
    assert dataset.preview.__annotations__["return"] is ImagePreview


def test_work_folder_is_made_on_load_and_refuses_to_be_saved(tmp_path: Path) -> None:
    dataset = WorkFolderDataset(filepath=str(tmp_path / "a" / "work"))
    assert dataset.exists()
    assert dataset.load().is_dir()
    with pytest.raises(DatasetError, match="written by jobs"):
        dataset.save(tmp_path)
