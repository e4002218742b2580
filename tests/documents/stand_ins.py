"""What stands for what the documents take for granted: a finished project, archives, a server, other programs."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from click.testing import CliRunner
from tests.conftest import ROOT, copy_finished
from tests.dermoscopy.archives import draw, write_source
from tests.documents.pages import Command
from tests.test_paper import merge

PACKAGES = {
    "uv": "`.ci/run` installs it",
    "isic-cli": "the program `isic` below",
    "kedro-airflow": "nothing: what came of it is dated on the page that names it",
    "s3fs": "a folder of this disk stands for the store (`settings.lay_out_mine`)",
}
"""What documents install with pip, and why nothing is installed for them here."""

DIALS = {
    "denoiser_training.max_train_steps": "30",
    "autoencoder_training.max_train_steps": "30",
    "text_encoder_training.max_train_steps": "15",
    "classifier_training.epochs": "1",
    "classifier_training.num_seeds": "1",
    "synthesis.num_images": "40",
    "data_engineering.max_images": "60",
    "image_size": "32",
    "launch.num_processes": "2",
}
"""Parameters of commands that are turned down to these values, or everything would take hours."""

SERVER = "http://localhost:11434/v1"
PROGRAMS = {
    "scontrol": "echo localhost",
    "open": 'test -e "$1"',
    "xdg-open": 'test -e "$1"',
    "isic": f'PYTHONPATH={ROOT}/tests/dermoscopy exec {sys.executable} {ROOT}/tests/documents/isic.py "$@"',
}
"""Programs that a reader has and this machine need not have: bash scripts that are found first."""

SCRIPTS = {
    "docs/images/make_samples.py": "run",
    "docs/skin_tone_figures.py": "run",
    "tests/prompts/labelled_prompts.py": "run",
    "tests/benchmarks/time_to_quality.py": "options",
    "tests/benchmarks/sampling_table.py": "options",
}
"""Scripts that are run, and those that take hours, of which the options are checked."""


def settle(finished: Path, folder: Path) -> Path:
    """Copy a finished project of `test`, so that it looks as `kedro run` leaves one: with results below `data/`.

    With `KEDRO_ENV=test` commands as they are written then read and write what they do in `base`, at toy size.

    Args:
        finished: The project.
        folder: Where to put the copy.

    Returns:
        `folder`.
    """
    copy_finished(finished, folder)
    for layer in (folder / "data/test").iterdir():
        layer.rename(folder / "data" / layer.name)
    (folder / "conf/test/globals.yml").unlink()
    for name in ("docs", "notebooks"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Makefile", "README.md", "mkdocs.yml", "tests"):
        (folder / name).symlink_to(ROOT / name)
    programs = folder / "programs"
    programs.mkdir()
    for name, script in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{script}\n")
        (programs / name).chmod(0o755)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/kedro").write_text(f'#!/bin/bash\nshift\nexec {sys.executable} -m kedro plan "$@"\n')
    (folder / ".venv/bin/kedro").chmod(0o755)
    shrink(folder, "ham10000")
    for name, made in (("generator", "dermdit/generator"), ("vae", "autoencoder")):
        shutil.copytree(folder / "data/06_models" / made, folder / "models" / name)
    return folder


def shrink(folder: Path, env: str) -> None:
    """Give an environment the sizes of `test`, which go before its own, and phantoms for archives."""
    conf = folder / "conf"
    own, toy = (_read(conf / name / "parameters.yml") for name in (env, "test"))
    log_often = {"denoiser_training": {"log_steps": 10}} if "denoiser_training" in own else {}
    (conf / env / "parameters.yml").write_text(yaml.safe_dump(merge(merge(own, toy), log_often)))
    catalogs = [_read(file).get("sources", {}).get("sources", {}) for file in (conf / env).rglob("catalog*.yml")]
    for number, (name, source) in enumerate({k: v for c in catalogs for k, v in c.items()}.items()):
        lay_source(folder / "data/01_raw", name, source, number)


def lay_source(raw: Path, name: str, source: dict[str, Any], number: int) -> pd.DataFrame | None:
    """Write phantoms for a source of the catalog: in its layout, as a folder or a zip archive.

    Returns:
        What a manifest has to say of a layout that translates (`translated`); None of others.
    """
    place = raw / source.get("path", name).split("01_raw/")[-1].split("}/")[-1]
    folder = place.with_suffix("")
    if source["layout"] in ("table", "imagefolder"):
        expected = _lay_translated(raw, folder, source, number)
    elif source["layout"] == "phantom" or folder.exists():
        return None
    else:
        expected = None
        write_source(folder, source, number, 60, 64)
    if place.suffix == ".zip":
        shutil.make_archive(str(folder), "zip", folder)
    return expected


def _lay_translated(raw: Path, folder: Path, source: dict[str, Any], number: int) -> pd.DataFrame:
    """Write images and exactly the columns, and at least the words, that a source names."""
    rows, contents = draw(number, 24 if source["role"] == "train" else 6, 64)
    rows = rows.rename(columns={"name": "image"})
    said, ours = translated(rows, source)
    is_table = source["layout"] == "table"
    folders = pd.Series(".", rows.index)
    if not is_table:
        split = "train" if source["role"] == "train" else "test"
        folders = said.pop("label").map(lambda word: f"{split}/{word}") if "label" in said else folders
        said["file_name"] = folders + "/" + rows["image"] + ".png"
    for name, place, content in zip(rows["image"], folders, contents, strict=True):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / f"{name}.png").write_bytes(content)
    if is_table or len(said.columns) > 1:
        table = source.get("table", "metadata.csv")
        said.to_csv(raw / table.split("}/")[-1] if "}" in table else folder / table, index=False)
    return ours.assign(image=rows["image"])


def translated(rows: pd.DataFrame, source: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn records of phantoms into the columns and words of a source.

    Returns:
        What its table says, and what a manifest has to say of the same images.
    """
    said, ours = pd.DataFrame(index=rows.index), pd.DataFrame(index=rows.index)
    for column, theirs in source["columns"].items():
        words = source.get("values", {}).get(column, {})
        if words:
            chosen = [list(words.items())[index % len(words)] for index in rows.index]
            said[theirs], ours[column] = [word for word, _ in chosen], [word for _, word in chosen]
        elif column in rows:
            ours[column] = said[theirs] = rows[column]
        else:
            said[theirs] = ""
    return said, ours


def environment(folder: Path) -> dict[str, str]:
    """Variables of a shell in which a reader types: programs that stand for others, the toy sizes, no network."""
    path = os.pathsep.join([str(folder / "programs"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        **os.environ,
        "PATH": path, "KEDRO_ENV": "test", "HF_HUB_OFFLINE": "1", "COLUMNS": "200",
        "UV_NO_SYNC": "1", "UV_OFFLINE": "1", "UV_PROJECT_ENVIRONMENT": sys.prefix,
    }  # fmt: skip


def type_in(folder: Path, *lines: str, **variables: str) -> str:
    """Type lines into a shell in a folder; return what they said.

    Raises:
        AssertionError: If one fails.
    """
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)], cwd=folder, env={**environment(folder), **variables}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{lines[-1]} fails:\n{(done.stdout + done.stderr)[-3000:]}"
    return done.stdout + done.stderr


def kedro_run(*words: str, command: str = "run") -> str:
    """Run `kedro run` in this process, by the same entry point; imports are what takes most of its time otherwise.

    Args:
        *words: What stands behind `kedro run`.
        command: Another command of the project's in place of `run`.

    Returns:
        What it printed.
    """
    from dermdit_kedro.cli import cli

    result = CliRunner().invoke(cli, [command, *words])
    assert result.exit_code == 0, (
        f"kedro {command} {shlex.join(words)} fails:\n{result.output[-3000:]}\n{result.exception!r}"
    )
    return str(result.output)


def turned_down(command: Command, folder: Path, server: str) -> list[str]:
    """The words of a `kedro run` with toy numbers, the address of the captioner's server and folders that are there."""
    words = command.words[2:]
    if "--params" in words:
        place = words.index("--params") + 1
        pairs = [pair.partition("=")[::2] for pair in words[place].split(",")]
        replaced = {key: DIALS.get(key, value) for key, value in pairs}
        replaced = {key: server if value == SERVER else value for key, value in replaced.items()}
        encoder = str(folder / "data/06_models/text_encoder")
        replaced = {key: encoder if value == "<folder>" else value for key, value in replaced.items()}
        words[place] = ",".join(f"{key}={value}" for key, value in replaced.items())
    return words


def _read(file: Path) -> dict[str, Any]:
    return (yaml.safe_load(file.read_text()) or {}) if file.is_file() else {}
