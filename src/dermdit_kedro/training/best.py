"""The weights with the lowest validation loss: a folder beside the states, written and checked as these are."""

import math
from pathlib import Path

from torch import nn

from dermdit_kedro.errors import UserError
from dermdit_kedro.training.weight_files import load_module, read_state, write_state

_BEST = "best"


def save_best(states: Path, module: nn.Module, loss: float, step: int) -> None:
    """Keep weights as the best so far.

    Args:
        states: The folder of all states of the run.
        module: Holds the weights.
        loss: Their validation loss.
        step: Optimizer steps done.

    Raises:
        UserError: If the disk does not take it; the best before stays.
    """
    write_state(states / _BEST, {"model": module.state_dict()}, {"loss": loss, "step": step})


def best_loss(states: Path) -> float:
    """Return the validation loss of the best weights so far; infinity where there are none.

    Args:
        states: The folder of all states of the run.

    Returns:
        The lowest loss.

    Raises:
        UserError: If the best weights are damaged.
    """
    folder = states / _BEST
    return float(read_state(folder, _remedy(folder))["loss"]) if folder.is_dir() else math.inf


def load_best(states: Path, module: nn.Module) -> None:
    """Load the best weights in place.

    Args:
        states: The folder of all states of the run.
        module: The module they are of.

    Raises:
        UserError: If there are none, they are damaged, or they do not fit.
    """
    folder = states / _BEST
    if not folder.is_dir():
        raise UserError(f"use_best must be false where no validation loss was a finite number. There is no {folder}")
    read_state(folder, _remedy(folder))
    load_module(folder / "model.safetensors", module)


def _remedy(folder: Path) -> str:
    return f"delete {folder} to pick among the validations still to come, or {folder.parent} to begin anew"
