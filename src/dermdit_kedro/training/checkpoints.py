"""Resumable training states: safetensors and JSON, written whole or not at all."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dermdit_kedro.atomic import atomic_file, atomic_folder
from dermdit_kedro.errors import UserError
from dermdit_kedro.training.parameters import TrainingConfig

_STATE = "state.json"


class Scaler(Protocol):
    """What of a gradient scaler a state holds."""

    def state_dict(self) -> dict[str, Any]:
        """Return its numbers."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""


@dataclass(frozen=True)
class TrainingState:
    """What a run needs to go on; the rest is a function of the step.

    Attributes:
        model: The module that is trained.
        optimizer: Its AdamW.
        ema: Moving averages of the parameters by name; empty when there is none.
        scaler: The gradient scaler of half precision; None when there is none.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: dict[str, Tensor]
    scaler: Scaler | None = None


def describe_run(spec: Mapping[str, Any], training: TrainingConfig) -> dict[str, Any]:
    """Return what a run is a function of: its job without what changes speed alone.

    Args:
        spec: The job's `job.json`.
        training: The settings of the loop.

    Returns:
        version, config and fingerprints of the inputs, as JSON has them.
    """
    config = {**spec["config"], "training": training.model_dump(mode="json", exclude=set(training.speed_fields))}
    inputs = {name: entry["fingerprint"] for name, entry in spec["inputs"].items()}
    return {"version": spec["version"], "config": config, "inputs": inputs}


def save_checkpoint(folder: Path, state: TrainingState, step: int, made_by: Mapping[str, Any], keep: int) -> None:
    """Write the state after `step` steps, then drop all but the newest.

    Args:
        folder: The folder of all states of the run.
        state: What to write.
        step: Optimizer steps done.
        made_by: What the run is a function of, as JSON has it; `load_checkpoint` refuses another.
        keep: How many of the newest states stay.

    Raises:
        UserError: If the disk does not take it; the earlier states stay.
    """
    tensors = {"model": state.model.state_dict(), "optimizer": _flatten(state.optimizer), "ema": state.ema}
    with _explain_disk(folder, tensors), atomic_folder(folder / f"step_{step:08d}") as aside:
        for name, values in tensors.items():
            if values:
                _save(values, aside / f"{name}.safetensors")
        content: dict[str, Any] = {
            "step": step,
            "made_by": made_by,
            "sha256": {file.name: _sha256(file) for file in sorted(aside.iterdir())},
            "scaler": state.scaler.state_dict() if state.scaler else None,
        }
        (aside / _STATE).write_text(json.dumps(content, indent=2, sort_keys=True))
    for old in _states(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, state: TrainingState, made_by: Mapping[str, Any]) -> int:
    """Load the newest state in place.

    Args:
        folder: The folder of all states of the run.
        state: Freshly built model, optimizer, average and scaler; overwritten.
        made_by: What this run is a function of.

    Returns:
        Optimizer steps done; 0 when there is no state.

    Raises:
        UserError: If the newest state is damaged, or of a run with another configuration; says in what.
    """
    states = _states(folder)
    if not states:
        return 0
    newest = states[-1]
    content = _read_undamaged(newest, states[-2].name if len(states) > 1 else None)
    _refuse_other_run(newest, content["made_by"], made_by)
    load_module(newest / "model.safetensors", state.model)
    _unflatten(state.optimizer, load_file(newest / "optimizer.safetensors"))
    if state.ema:
        for name, value in load_file(newest / "ema.safetensors").items():
            state.ema[name].copy_(value)
    if state.scaler and content["scaler"]:
        state.scaler.load_state_dict(content["scaler"])
    return int(content["step"])


def refuse_infinite(module: nn.Module, what: str, step: int, folder: Path) -> None:
    """Refuse weights that are not numbers any more; asked before each state is written.

    Args:
        module: What is trained.
        what: Name of the training.
        step: Optimizer steps done.
        folder: Where the earlier states lie.

    Raises:
        UserError: If a weight is infinite or not a number.
    """
    weights = [parameter.detach() for parameter in module.parameters()]
    if not bool(torch.stack(torch._foreach_norm(weights)).isfinite().all()):
        raise UserError(
            f"{what}: weights must be finite. They are not after step {step}; the last good state is kept in {folder}. "
            "Lower learning_rate or max_grad_norm"
        )


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
        UserError: If a name or a shape does not fit.
    """
    try:
        module.load_state_dict(load_file(file))
    except RuntimeError as error:
        faults = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise UserError(f"the weights in {file} must fit the model that goes on from them. {faults}") from error


def _states(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step_*") if path.is_dir())


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


def _read_undamaged(state: Path, before: str | None) -> dict[str, Any]:
    """Return the `state.json` of a state whose files are what they were when it was written."""
    remedy = f"delete {state} to go on from {before or 'the start'}"
    try:
        content: dict[str, Any] = json.loads((state / _STATE).read_text())
        sums = dict(content["sha256"])
        damaged = [name for name, value in sums.items() if _sha256(state / name) != value]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"a training state must be whole. {state} is damaged ({error}); {remedy}") from error
    if damaged:
        raise UserError(f"a training state must be as it was written. {state / damaged[0]} has changed; {remedy}")
    return content


def _refuse_other_run(state: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    then, now = dict(_leaves(theirs)), dict(_leaves(ours))
    names = sorted(name for name in then | now if then.get(name) != now.get(name))
    if names:
        told = "; ".join(f"{name} was {then.get(name)!r} and is {now.get(name)!r}" for name in names[:5])
        raise UserError(
            f"a training goes on only with what began it. In {state} {told}"
            f"{f'; and {len(names) - 5} more' if len(names) > 5 else ''}. Undo the change, or delete {state.parent} "
            "to begin anew"
        )


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, entry in state.items() for name, value in entry.items()}


def _unflatten(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        entries.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
