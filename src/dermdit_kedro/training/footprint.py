"""What a training needs, before it begins: memory and disk by arithmetic on weights that take none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from dermdit_kedro.training.engine import Loss
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.streams import Batch

FLOAT_BYTES = 4
"""Weights, gradients, moments and averages are float32, whatever the precision of the activations."""
MOMENTS = 2
"""Of AdamW, a weight."""
_EXAMPLES = 1024


@dataclass(frozen=True)
class Workload:
    """A training, as `training.engine.fit` would do it, on input drawn at random.

    Attributes:
        build: Makes the model with random weights, on the device that torch is told to use.
        loss: As for `fit`.
        training: As for `fit`.
        counted_on: Where it is counted: `meta`, which computes nothing, or `cpu` for what must look at values.
    """

    build: Callable[[], nn.Module]
    loss: Loss
    training: TrainingConfig
    counted_on: str = "meta"

    @property
    def part(self) -> int:
        """Examples that are worked on at once, in one process."""
        return self.training.batch_size // self.training.gradient_accumulation_steps


@dataclass(frozen=True)
class Footprint:
    """What one process of a training holds and computes.

    Attributes:
        num_parameters: Weights of the model.
        num_trained: Those of them that are trained.
        activation_bytes: What a forward pass keeps for the backward one.
        flops: Floating-point operations of one step, of matrix products and convolutions alone.
    """

    num_parameters: int
    num_trained: int
    activation_bytes: int
    flops: float


class RandomImages:
    """Images of noise, in the place of an `ImageStack`.

    Args:
        image_size: Side in pixels.
    """

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    def __len__(self) -> int:
        return _EXAMPLES

    def __getitem__(self, indices: Any) -> Tensor:
        """Return as many images as there are indices, uint8 (b, 3, s, s), where the indices are."""
        return torch.randint(
            256, (len(indices), 3, self.image_size, self.image_size), dtype=torch.uint8, device=indices.device
        )


def measure_footprint(workload: Workload) -> Footprint:
    """Count weights, activations and operations of one step; on `meta` nothing is computed and no memory taken.

    Args:
        workload: The training.

    Returns:
        What was counted; without gradient checkpointing, which keeps less.
    """
    device = torch.device(workload.counted_on)
    with device:
        model = workload.build()
    trained = [p for p in model.parameters() if p.requires_grad]
    kept: dict[int, int] = {}
    weights = {p.untyped_storage()._cdata for p in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = workload.loss(model, draw_batch(workload, 0, device))["loss"]
        loss.backward()
    return Footprint(
        num_parameters=sum(p.numel() for p in model.parameters()),
        num_trained=sum(p.numel() for p in trained),
        activation_bytes=sum(kept.values()),
        flops=float(counter.get_total_flops()) * workload.training.gradient_accumulation_steps,
    )


def memory_bytes(footprint: Footprint, training: TrainingConfig) -> int:
    """Add up what one process of a training holds at once.

    Args:
        footprint: Of the model.
        training: Says whether there is a moving average.

    Returns:
        Weights, gradients, AdamW's moments, the average and the activations; a lower bound, since what is computed on
        the way takes some more, and the libraries theirs.
    """
    averages = footprint.num_trained if training.ema_decay is not None else 0
    floats = footprint.num_parameters + (1 + MOMENTS) * footprint.num_trained + averages
    return FLOAT_BYTES * floats + footprint.activation_bytes


def disk_bytes(footprint: Footprint, training: TrainingConfig, *, validates: bool) -> int:
    """Add up what a training leaves on disk.

    Args:
        footprint: Of the model.
        training: Steps, states that are kept, the average.
        validates: Whether the weights of the lowest validation loss are kept too.

    Returns:
        The result, the best weights and the states that stay.
    """
    averages = footprint.num_trained if training.ema_decay is not None else 0
    state = footprint.num_parameters + MOMENTS * footprint.num_trained + averages
    written = (training.max_train_steps - 1) // training.checkpointing_steps
    weights = (2 if validates else 1) * footprint.num_parameters
    return FLOAT_BYTES * (weights + min(training.keep_last, written) * state)


def draw_batch(workload: Workload, step: int, device: torch.device) -> Batch:
    """Return the batch of one step, drawn at random where a device is told."""
    return Batch(0, step, workload.part, _EXAMPLES, device=device)
