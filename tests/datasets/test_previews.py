"""What Kedro-Viz shows of an entry, as it comes back from the data sets themselves."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from dermdit_kedro.datasets.atomic_files import HistoryDataset, JSONDataset, TextDataset
from dermdit_kedro.datasets.folder import FolderDataset
from dermdit_kedro.datasets.previews import LIST_ITEMS, PAGE_CHARACTERS, folder_preview, json_preview, page_preview
from dermdit_kedro.datasets.sources import SourcesDataset
from dermdit_kedro.datasets.work_folder import WorkFolderDataset
from dermdit_kedro.handles import COMPLETE, Features, ImageFolder, Latents, TextEmbeddings


def test_a_long_list_is_cut_and_says_so() -> None:
    shown = json.loads(json_preview({"scores": list(range(100)), "auc": 0.123456789, "n": 3, "name": "x", "no": None}))
    assert shown["scores"] == [*range(LIST_ITEMS), f"... and {100 - LIST_ITEMS} more"]
    assert {key: shown[key] for key in ("auc", "n", "name", "no")} == {"auc": 0.1235, "n": 3, "name": "x", "no": None}
    assert json.loads(json_preview([[1.0] * 30]))[0][-1] == "... and 10 more"


def test_a_document_that_is_short_is_shown_whole(tmp_path: Path) -> None:
    dataset = JSONDataset(filepath=str(tmp_path / "a.json"))
    dataset.save({"by_group": [{"tone_group": "dark", "n": 3}]})
    assert json.loads(dataset.preview()) == {"by_group": [{"tone_group": "dark", "n": 3}]}


def test_a_page_is_shown_without_scripts_and_pictures(tmp_path: Path) -> None:
    page = (
        "<!doctype html><html><head><title>t</title><style>p {}</style></head><body><nav>go</nav><h1>Verdict</h1>\n"
        "<script>var a = '<p>no</p>'</script><figure><svg><text>no</text></svg></figure><p>better\n for dark</p>"
        "<img src='data:image/png;base64,AAAA' alt='x'></body></html>"
    )
    dataset = TextDataset(filepath=str(tmp_path / "report.html"))
    dataset.save(page)
    assert dataset.preview() == "<html><body><h1>Verdict</h1> <p>better for dark</p></body></html>"
    assert len(page_preview("x" * (2 * PAGE_CHARACTERS))) == PAGE_CHARACTERS


def test_a_history_is_shown_as_curves(tmp_path: Path) -> None:
    dataset = HistoryDataset(filepath=str(tmp_path / "dermdit" / "training_history.json"))
    dataset.save({"steps": [1, 2], "loss": [0.5, 0.25], "validation": [{"step": 2, "loss": 0.3}]})
    lines = {line["name"]: list(line["y"]) for line in dataset.preview()["data"]}
    assert lines == {"dermdit": [0.5, 0.25], "dermdit, validation": [0.3]}


def test_a_model_is_shown_by_size_parts_and_card(tmp_path: Path) -> None:
    folder = tmp_path / "generator"
    (folder / "denoiser").mkdir(parents=True)
    save_file({"weight": np.zeros((3, 4), np.float32)}, folder / "denoiser" / "model.safetensors")
    (folder / "denoiser" / "config.json").write_text(json.dumps({"_class_name": "DermDiT"}))
    (folder / "README.md").write_text("---\nlicense: other\n---\n# A card\n\n```python\ncode\n```\n\nFor research.\n")
    (folder / COMPLETE).write_text(json.dumps({"fingerprint": "f"}))
    shown = FolderDataset(filepath=str(folder), kind="ModelFolder").preview()
    for words in (">12<", "denoiser", "DermDiT", "# A card", "For research."):
        assert words in shown, words
    for words in ("license", "code", "```"):
        assert words not in shown, words


def test_folders_of_numbers_are_shown_by_their_shapes(tmp_path: Path) -> None:
    pd.DataFrame({"image_id": ["a", "b"], "row": [1, 2]}).to_parquet(tmp_path / "index.parquet")
    np.save(tmp_path / "features.npy", np.zeros((2, 1280), np.float32))
    (tmp_path / "features.json").write_text(json.dumps({"name": "lite"}))
    np.save(tmp_path / "moments.npy", np.zeros((2, 2, 2, 4, 8, 8), np.float16))
    tensors = {"embeddings": np.zeros((3, 7, 16), np.float32), "mask": np.ones((3, 7), np.uint8)}
    save_file(tensors, tmp_path / "embeddings.safetensors")
    expected = {
        Features: ("lite", ">2<", ">1,280<"),
        Latents: (">2<", "4 x 8 x 8"),
        TextEmbeddings: (">2<", ">7<", ">16<"),
        ImageFolder: (">2<",),
    }
    for kind, words in expected.items():
        shown = folder_preview(kind(tmp_path, "f"))
        assert [word for word in words if word not in shown] == [], kind


def test_sources_are_shown_with_all_their_options() -> None:
    entries = {"a": {"layout": "ham10000", "role": "train", "path": "x"}, "b": {"layout": "phantom", "role": "test"}}
    shown = SourcesDataset(sources=entries).preview()
    assert pd.DataFrame(**shown).loc["a"].to_dict() == entries["a"]
    assert pd.DataFrame(**shown).loc["b", "path"] == ""


@pytest.mark.parametrize("finished", [True, False])
def test_a_work_folder_shows_which_jobs_are_finished(tmp_path: Path, finished: bool) -> None:
    (tmp_path / "train-01" / "result").mkdir(parents=True)
    if finished:
        (tmp_path / "train-01" / "result" / COMPLETE).write_text("{}")
    assert WorkFolderDataset(filepath=str(tmp_path)).preview()["data"] == [["train-01", "yes" if finished else "no"]]
