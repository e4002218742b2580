"""Fixtures of the whole suite: projects in a temporary folder, so that runs write nowhere else."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pandas as pd

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "toy_project"


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of this repository."""
    return ROOT


@pytest.fixture(scope="session")
def require() -> Callable[[Path], None]:
    """Skip a test whose real data set is absent."""

    def check(folder: Path) -> None:
        if not folder.is_dir():
            pytest.skip(f"{folder.name} is not in data/01_raw (Harvard Dataverse, doi:10.7910/DVN/DBW86T)")

    return check


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this project (configuration, not data), as working directory and as the Kedro project."""
    return _enter(copy_project(tmp_path / "project"), monkeypatch)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of three nodes under this project's settings, hooks and command line."""
    folder = tmp_path / "toy"
    shutil.copytree(TOY, folder)
    for name in ("globals.yml", "mlflow.yml"):
        shutil.copy(ROOT / "conf" / "base" / name, folder / "conf" / "base" / name)
    shutil.copy(ROOT / "conf" / "logging.yml", folder / "conf" / "logging.yml")
    shutil.copy(ROOT / ".telemetry", folder / ".telemetry")
    yield _enter(folder, monkeypatch)
    from kedro.framework.project import configure_project

    configure_project("dermdit_kedro")


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without a run; making one takes seconds, copying it does not."""
    from mlflow.tracking import MlflowClient

    store = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{store}").search_experiments()
    return store


@pytest.fixture
def tracked_toy(toy: Path, mlflow_store: Path) -> Path:
    """The project of three nodes, with an MLflow store at hand."""
    shutil.copy(mlflow_store, toy / "mlflow.db")
    return toy


@pytest.fixture
def tracked_project(project: Path, mlflow_store: Path) -> Path:
    """A copy of this project, with an MLflow store at hand: for tests that run nodes."""
    shutil.copy(mlflow_store, project / "mlflow.db")
    return project


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory, mlflow_store: Path) -> Path:
    """A project in which the whole graph of `test` has run, once in the whole suite: to copy, not to touch."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, mark = shared / "finished", shared / "finished.done"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copy(mlflow_store, copy_project(folder) / "mlflow.db")
            command = [sys.executable, "-m", "kedro", "run", "--env", "test"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
            mark.touch()
    return folder


def copy_finished(finished: Path, folder: Path) -> Path:
    """Copy a project with its data and its MLflow store, which names the folder it lies in.

    Args:
        finished: The project.
        folder: Where to put it.

    Returns:
        `folder`.
    """
    shutil.copytree(finished, folder, symlinks=True)
    with sqlite3.connect(folder / "mlflow.db") as store:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            store.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(finished), str(folder)))
    store.close()
    return folder


def copy_project(folder: Path) -> Path:
    """Copy the configuration: a project whose data lie below `folder`; the code is the installed package.

    Args:
        folder: Where to put it.

    Returns:
        `folder`.
    """
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "src").mkdir()
    (folder / "data" / "01_raw").mkdir(parents=True)
    return folder


def _enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from kedro.framework.startup import bootstrap_project

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder / "src"))
    monkeypatch.setenv("PYTHONPATH", str(folder / "src"))
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    bootstrap_project(folder)
    return folder


@pytest.fixture(scope="session")
def drawn_manifest() -> "pd.DataFrame":
    """Sources `clinic` to train on and `ddi` to test on, drawn by chance; each attribute is unknown for some."""
    import numpy as np
    import pandas as pd

    from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, SEXES, SITES, conform

    images = 400
    rng = np.random.default_rng(0)
    number = np.arange(images)
    test = number % 4 == 0
    ita = rng.uniform(-60, 89, images)
    tone = np.select([ita > 41, ita > 19], ["light", "brown"], "dark")
    tone_source = np.where(test & (number % 8 == 0), "expert", "ita")
    unknown = number % 7 == 1
    table = {
        "image_id": [f"x/{i}" for i in number],
        "source": np.where(test, "ddi", "clinic"),
        "file": [f"{i}.jpg" for i in number],
        "modality": "dermoscopic",
        "lesion_id": [f"L{i // 2}" for i in number],
        "is_malignant": rng.choice([True, False, None], images, p=[0.3, 0.6, 0.1]),
        "is_melanoma": rng.choice([True, False, None], images, p=[0.1, 0.8, 0.1]),
        "tone_group": np.where(unknown, "unknown", tone),
        "tone_source": np.where(unknown, "none", tone_source),
        "ita_degrees": np.where(unknown, np.nan, ita),
        "sex": rng.choice([*SEXES, None], images),
        "age_approx": rng.choice([0.5, 19.9, 20, 55, 80, 104, np.nan], images),
        "site": rng.choice([*SITES, None], images),
        "role": np.where(test, "test", "train"),
        "split": np.where(test, "test", rng.choice(["train", "val", "excluded"], images, p=[0.8, 0.15, 0.05])),
        "duplicate_cluster": [f"c{i // 2}" for i in number],
        "sha256": [f"{i // 2 * 2 if i % 50 == 1 else i:064x}" for i in number],
        "width": 64,
        "height": 64,
    }
    return conform(pd.DataFrame(table), MANIFEST_DTYPES)
