"""Everything random in training, as a function of (seed, step, position in the global batch)."""

from functools import lru_cache

import torch
from torch import Tensor

from dermdit_kedro.seeds import stable_seed


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, num_examples: int) -> Tensor:
    generator = torch.Generator().manual_seed(stable_seed(seed, "epoch", epoch))
    return torch.randperm(num_examples, generator=generator)


def stream_indices(seed: int, first: int, count: int, num_examples: int) -> Tensor:
    """Return `count` positions of an endless stream of reshuffled epochs, from position `first` on.

    Law: every `num_examples` consecutive positions that start on an epoch are a permutation.

    Args:
        seed: Seed of the run.
        first: Position in the stream.
        count: How many positions.
        num_examples: Size of the data set.

    Returns:
        int64 (count,), values in [0, num_examples).
    """
    positions = range(first, first + count)
    order = [_permutation(seed, p // num_examples, num_examples)[p % num_examples] for p in positions]
    return torch.stack(order)


class Batch:
    """This process's part of the global batch of one step.

    The k-th call of `randn` or `rand` draws for the whole global batch and keeps this process's rows, so
    the number of processes changes speed and not data.

    Args:
        seed: Seed of the run.
        step: Optimizer step, from 0.
        batch_size: Global batch size.
        num_examples: Size of the data set.
        rank: This part of the batch: of a process, or one of several that a process works one after the other.
        world_size: How many parts there are.
        device: Where drawn tensors go.

    Raises:
        ValueError: If the global batch cannot be split evenly.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        batch_size: int,
        num_examples: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if batch_size % world_size:
            raise ValueError(
                "the global batch size must be a multiple of the number of processes times "
                f"gradient_accumulation_steps ({world_size}). Got {batch_size}"
            )
        self.step, self.device = step, torch.device(device)
        self._seed, self._batch_size, self._draws = seed, batch_size, 0
        part = batch_size // world_size
        self._rows = slice(rank * part, (rank + 1) * part)
        self.indices = stream_indices(seed, step * batch_size + rank * part, part, num_examples)

    def __len__(self) -> int:
        return len(self.indices)

    def _generator(self) -> torch.Generator:
        self._draws += 1
        return torch.Generator().manual_seed(stable_seed(self._seed, "step", self.step, self._draws))

    def randn(self, *shape: int) -> Tensor:
        """Draw standard normal numbers, float32 (b, *shape)."""
        return torch.randn(self._batch_size, *shape, generator=self._generator())[self._rows].to(self.device)

    def rand(self, *shape: int) -> Tensor:
        """Draw uniform numbers in [0, 1), float32 (b, *shape)."""
        return torch.rand(self._batch_size, *shape, generator=self._generator())[self._rows].to(self.device)
