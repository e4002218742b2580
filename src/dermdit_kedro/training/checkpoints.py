"""Resumable training states: which are kept, and which one a run goes on from."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dermdit_kedro.errors import UserError
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.weight_files import load_module, read_state, write_state


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
    scaler = state.scaler.state_dict() if state.scaler else None
    write_state(folder / _name(step), tensors, {"step": step, "made_by": made_by, "scaler": scaler})
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
    remedy = f"delete {newest} to go on from {states[-2].name if len(states) > 1 else 'the start'}"
    content = read_state(newest, remedy)
    if newest.name != _name(content["step"]):
        raise UserError(f"a training state's folder must name its step. {newest} says step {content['step']}; {remedy}")
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


def _name(step: int) -> str:
    return f"step_{int(step):08d}"


def _states(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step_*") if path.is_dir())


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
