"""Work folders: the key follows what may change the result, and nothing else."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from dermdit_kedro.handles import Folder, ImageFolder, ModelFolder
from dermdit_kedro.jobs import Job, create_job, fingerprint_table
from dermdit_kedro.parameters import Parameters


class Training(Parameters):
    """A parameter block with one field that changes speed alone."""

    learning_rate: float = 1e-4
    log_steps: int = 10
    speed_fields: ClassVar[frozenset[str]] = frozenset({"log_steps"})


TABLE = pd.DataFrame({"image_id": ["a/1", "a/2"], "age_approx": [55.0, None]})
ASKED: dict[str, Any] = {
    "config": {"training": Training(), "seed": 1},
    "inputs": {"latents": ModelFolder(Path("/data/latents"), "f1"), "files": TABLE},
    "speed": {"num_workers": 2},
}


def make(work_dir: Path, module: str = "dermdit_kedro.diffusion.train", **changes: dict[str, Any]) -> Job:
    asked = {kind: {**values, **changes.get(kind, {})} for kind, values in ASKED.items()}
    return create_job(work_dir, "train_denoiser.dermdit", module, **asked)


def test_the_same_job_is_found_again(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    assert first == second
    assert first.folder.name == f"train_denoiser.dermdit-{first.key}"


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"seed": 2}},
        {"config": {"training": Training(learning_rate=2e-4)}},
        {"config": {"more": True}},
        {"inputs": {"latents": ModelFolder(Path("/data/latents"), "f2")}},
        {"inputs": {"files": TABLE.iloc[::-1]}},
        {"inputs": {"files": TABLE.assign(age_approx=[55.0, 0.0])}},
        {"inputs": {"files": TABLE.rename(columns={"age_approx": "age"})}},
    ],
)
def test_what_may_change_the_result_changes_the_key(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert make(tmp_path, **changes).key != make(tmp_path).key


def test_the_module_changes_the_key(tmp_path: Path) -> None:
    assert make(tmp_path, module="dermdit_kedro.diffusion.sample").key != make(tmp_path).key


@pytest.mark.parametrize(
    "changes",
    [
        {"speed": {"num_workers": 8}},
        {"config": {"training": Training(log_steps=1)}},
        {"inputs": {"latents": ModelFolder(Path("/elsewhere/latents"), "f1")}},
        {"inputs": {"files": TABLE.set_axis([7, 8])}},
    ],
)
def test_speed_and_place_do_not_change_the_key(tmp_path: Path, changes: dict[str, Any]) -> None:
    changed = make(tmp_path, **changes)
    assert changed.key == make(tmp_path / "moved").key


def test_speed_fields_stay_out_of_the_key_at_every_depth(tmp_path: Path) -> None:
    keys = {make(tmp_path, config={"stages": {"a": [Training(log_steps=n)]}}).key for n in (1, 2)}
    assert len(keys) == 1
    assert make(tmp_path, config={"stages": {"a": [Training(learning_rate=1.0)]}}).key not in keys


def test_a_child_reads_back_what_was_asked(tmp_path: Path) -> None:
    job = Job(make(tmp_path, config={"training": Training(log_steps=3)}).folder)
    assert job.config("training", Training) == Training(log_steps=3)
    assert job.config("seed", int) == 1
    assert job.config("num_workers", int) == 2
    assert job.input("latents", ModelFolder) == ModelFolder(Path("/data/latents"), "f1")
    assert job.has_input("latents")
    assert not job.has_input("autoencoder")
    pd.testing.assert_frame_equal(job.table("files"), TABLE)


def test_what_is_neither_a_folder_nor_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="latents is a PosixPath"):
        make(tmp_path, inputs={"latents": Path("/data")})


def test_a_result_counts_once_it_is_marked(tmp_path: Path) -> None:
    job = make(tmp_path)
    with pytest.raises(RuntimeError, match="without finishing"):
        job.handle(Folder)
    job.complete()
    assert job.is_complete
    assert job.handle(ImageFolder) == ImageFolder(job.result, job.key)
    assert json.loads((job.result / "_complete.json").read_text()) == {"fingerprint": job.key}
    assert make(tmp_path).is_complete


def test_a_metrics_line_cut_by_a_kill_swallows_no_other(tmp_path: Path) -> None:
    job = make(tmp_path)
    job.log_metrics(1, loss=0.5)
    with (job.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    job.log_metrics(2, loss=0.25)
    job.log_metrics(3, loss=0.125)
    assert job.metrics() == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}, {"step": 3, "loss": 0.125}]


def test_of_a_step_logged_twice_the_last_line_counts(tmp_path: Path) -> None:
    job = make(tmp_path)
    assert job.metrics() == []
    job.log_metrics(1, loss=0.5)
    job.log_metrics(2, loss=0.4)
    job.log_metrics(1, loss=0.3, seconds=2.0)
    assert job.metrics() == [{"step": 1, "loss": 0.3, "seconds": 2.0}, {"step": 2, "loss": 0.4}]


def test_a_table_keeps_its_fingerprint_through_parquet(tmp_path: Path) -> None:
    TABLE.to_parquet(tmp_path / "table.parquet")
    assert fingerprint_table(pd.read_parquet(tmp_path / "table.parquet")) == fingerprint_table(TABLE)
