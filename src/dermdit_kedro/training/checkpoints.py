"""Resumable training states: safetensors and JSON, written whole or not at all."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dermdit_kedro.atomic import atomic_file, atomic_folder
from dermdit_kedro.errors import UserError

KEEP_LAST = 2
"""How many of the newest states are kept."""


@dataclass(frozen=True)
class TrainingState:
    """What a run needs to go on; the rest is a function of the step.

    Attributes:
        model: The module that is trained.
        optimizer: Its AdamW.
        ema: Moving averages of the parameters by name; empty when there is none.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: dict[str, Tensor]


def save_checkpoint(folder: Path, state: TrainingState, step: int) -> None:
    """Write the state after `step` steps and drop all but the newest.

    Args:
        folder: The folder of all states of the run.
        state: What to write.
        step: Optimizer steps done.
    """
    with atomic_folder(folder / f"step_{step:08d}") as aside:
        save_module(aside / "model.safetensors", state.model)
        save_file({k: v.contiguous() for k, v in _flatten(state.optimizer).items()}, aside / "optimizer.safetensors")
        if state.ema:
            save_file({k: v.contiguous() for k, v in state.ema.items()}, aside / "ema.safetensors")
        (aside / "state.json").write_text(json.dumps({"step": step}))
    for old in _states(folder)[:-KEEP_LAST]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, state: TrainingState) -> int:
    """Load the newest state in place.

    Args:
        folder: The folder of all states of the run.
        state: Freshly built model, optimizer and average; overwritten.

    Returns:
        Optimizer steps done; 0 when there is no state.
    """
    states = _states(folder)
    if not states:
        return 0
    newest = states[-1]
    load_module(newest / "model.safetensors", state.model)
    _unflatten(state.optimizer, load_file(newest / "optimizer.safetensors"))
    if state.ema:
        for name, value in load_file(newest / "ema.safetensors").items():
            state.ema[name].copy_(value)
    return int(json.loads((newest / "state.json").read_text())["step"])


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
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    with atomic_file(file) as aside:
        save_file(tensors, aside)


def load_module(file: Path, module: nn.Module) -> None:
    """Load a state dict written by `save_module` in place; names and shapes must fit."""
    module.load_state_dict(load_file(file))


def _states(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step_*") if (path / "state.json").is_file())


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value.detach().cpu() for i, entry in state.items() for name, value in entry.items()}


def _unflatten(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        entries.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
