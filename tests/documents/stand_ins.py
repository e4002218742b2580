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

PACKAGES = {"uv": "`.ci/run` installs it", "isic-cli": "the program `isic` below"}
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
    shrink(folder, "ham10000")
    return folder


def shrink(folder: Path, env: str) -> None:
    """Give an environment the sizes of `test`, and phantoms for archives."""
    conf = folder / "conf"
    own, toy = (_read(conf / name / "parameters.yml") for name in (env, "test"))
    log_often = {"denoiser_training": {"log_steps": 10}} if "denoiser_training" in own else {}
    (conf / env / "parameters.yml").write_text(yaml.safe_dump(merge(merge(own, toy), log_often)))
    catalogs = [_read(file).get("sources", {}).get("sources", {}) for file in (conf / env).rglob("catalog*.yml")]
    for number, (name, source) in enumerate(merge({}, {k: v for c in catalogs for k, v in c.items()}).items()):
        place = folder / "data/01_raw" / Path(source.get("path", name)).name
        if source["layout"] == "table":
            write_table(place, source, number)
        elif source["layout"] != "phantom" and not place.exists():
            write_source(place, source, number, 60, 64)


def write_table(folder: Path, source: dict[str, Any], number: int) -> pd.DataFrame:
    """Write phantoms and a table of exactly the columns, and at least the words, that a source of the catalog names.

    Returns:
        What a manifest has to say of them: our columns, our words; `image` is the name without its ending.
    """
    rows, contents = draw(number, 6, 64)
    rows = rows.rename(columns={"name": "image"})
    said, ours = pd.DataFrame(index=rows.index), pd.DataFrame(index=rows.index)
    for column, theirs in source["columns"].items():
        words = source.get("values", {}).get(column, {})
        if words:
            chosen = [list(words.items())[index % len(words)] for index in rows.index]
            said[theirs], ours[column] = [word for word, _ in chosen], [word for _, word in chosen]
        else:
            ours[column] = said[theirs] = rows[column] if column in rows else pd.Series("", rows.index)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(rows["image"], contents, strict=True):
        (folder / f"{name}.png").write_bytes(content)
    said.to_csv(folder / source["table"], index=False)
    return ours


def environment(folder: Path) -> dict[str, str]:
    """Variables of a shell in which a reader types: programs that stand for others, the toy sizes, no network."""
    path = os.pathsep.join([str(folder / "programs"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        **os.environ,
        "PATH": path, "KEDRO_ENV": "test", "HF_HUB_OFFLINE": "1", "COLUMNS": "200",
        "UV_NO_SYNC": "1", "UV_OFFLINE": "1", "UV_PROJECT_ENVIRONMENT": sys.prefix,
    }  # fmt: skip


def type_in(folder: Path, *lines: str) -> str:
    """Type lines into a shell in a folder; return what they said.

    Raises:
        AssertionError: If one fails.
    """
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)], cwd=folder, env=environment(folder), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{lines[-1]} fails:\n{(done.stdout + done.stderr)[-3000:]}"
    return done.stdout + done.stderr


def kedro_run(*words: str) -> str:
    """Run `kedro run` in this process, by the same entry point; imports are what takes most of its time otherwise.

    Args:
        *words: What stands behind `kedro run`.

    Returns:
        What it printed.
    """
    from dermdit_kedro.cli import cli

    result = CliRunner().invoke(cli, ["run", *words])
    assert result.exit_code == 0, f"kedro run {shlex.join(words)} fails:\n{result.output[-3000:]}\n{result.exception!r}"
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
