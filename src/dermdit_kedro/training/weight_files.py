"""Weights on disk: safetensors, and folders of them with checksums, written whole or not at all."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dermdit_kedro.atomic import atomic_file, atomic_folder
from dermdit_kedro.errors import UserError

_STATE = "state.json"


def write_state(folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], content: Mapping[str, Any]) -> None:
    """Write a folder of safetensors and a `state.json` with their checksums, whole or not at all.

    Args:
        folder: The folder to create or replace.
        tensors: What each file holds; one that would hold nothing is left out.
        content: What `state.json` says beside the checksums.

    Raises:
        UserError: If the disk does not take it.
    """
    with _explain_disk(folder.parent, tensors), atomic_folder(folder) as aside:
        for name, values in tensors.items():
            if values:
                _save(values, aside / f"{name}.safetensors")
        sums = {file.name: _sha256(file) for file in sorted(aside.iterdir())}
        (aside / _STATE).write_text(json.dumps({**content, "sha256": sums}, indent=2, sort_keys=True))


def read_state(folder: Path, remedy: str) -> dict[str, Any]:
    """Return what `write_state` put into `state.json`, if every file is what it was then.

    Args:
        folder: The folder.
        remedy: What to do where it is damaged.

    Returns:
        The content, with the checksums.

    Raises:
        UserError: If it is damaged; names the file.
    """
    try:
        content: dict[str, Any] = json.loads((folder / _STATE).read_text())
        sums = dict(content["sha256"])
        damaged = [name for name, value in sums.items() if _sha256(folder / name) != value]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"a training state must be whole. {folder} is damaged ({error}); {remedy}") from error
    if damaged:
        raise UserError(f"a training state must be as it was written. {folder / damaged[0]} has changed; {remedy}")
    return content


def save_module(file: Path, module: nn.Module) -> None:
    """Write a module's state dict as safetensors, atomically.

    Args:
        file: The file to create or replace.
        module: Any module without shared tensors.

    Raises:
        UserError: If the disk does not take it.
    """
    tensors = module.state_dict()
    with _explain_disk(file.parent, {"model": tensors}), atomic_file(file) as aside:
        _save(tensors, aside)


def load_module(file: Path, module: nn.Module) -> None:
    """Load a state dict written by `save_module` in place.

    Args:
        file: The file.
        module: A module of the same names and shapes.

    Raises:
        UserError: If a name or a shape does not fit, or the file is damaged.
    """
    try:
        module.load_state_dict(load_file(file))
    except SafetensorError as error:
        raise UserError(f"the weights in {file} must be whole. They are damaged: {error}") from error
    except RuntimeError as error:
        faults = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise UserError(f"the weights in {file} must fit the model that goes on from them. {faults}") from error


def _save(tensors: Mapping[str, Tensor], file: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, file)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _explain_disk(folder: Path, tensors: Mapping[str, Mapping[str, Tensor]]) -> Iterator[None]:
    """Say what a disk that is full or read-only was asked for."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        needed = sum(value.nbytes for values in tensors.values() for value in values.values()) / 1e6
        free = shutil.disk_usage(folder).free / 1e6
        raise UserError(
            f"a training state of {needed:.0f} MB must fit into {folder}: {error} ({free:.0f} MB free). The states "
            "written before are kept: make room and run again to go on from there"
        ) from error
