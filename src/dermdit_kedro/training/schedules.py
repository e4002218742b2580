"""Learning rate and moving average as functions of the step."""

import math

from dermdit_kedro.training.parameters import TrainingConfig


def learning_rate(training: TrainingConfig, step: int) -> float:
    """Return the learning rate of one step: linear warm-up, then constant or cosine to zero.

    Args:
        training: The schedule.
        step: Optimizer step, from 0.

    Returns:
        The learning rate, at most `training.learning_rate`.
    """
    if step < training.lr_warmup_steps:
        return training.learning_rate * (step + 1) / training.lr_warmup_steps
    if training.lr_scheduler == "constant":
        return training.learning_rate
    span = max(training.max_train_steps - training.lr_warmup_steps, 1)
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - training.lr_warmup_steps) / span))


def ema_decay(decay: float, step: int) -> float:
    """Return the decay after `step` finished steps, warmed up as (1 + step) / (10 + step).

    Args:
        decay: The final decay, in [0, 1).
        step: Finished optimizer steps, from 1.

    Returns:
        The smaller of the two.
    """
    return min(decay, (1 + step) / (10 + step))
