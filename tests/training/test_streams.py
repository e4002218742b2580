"""Laws of the training streams: functions of (seed, step, position), whatever the number of processes."""

import pytest
import torch

from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.streams import Batch, stream_indices


def test_an_epoch_is_a_permutation_and_the_next_one_another():
    first = stream_indices(seed=3, first=0, count=50, num_examples=50)
    second = stream_indices(seed=3, first=50, count=50, num_examples=50)
    assert sorted(first.tolist()) == list(range(50))
    assert sorted(second.tolist()) == list(range(50))
    assert not torch.equal(first, second)


def test_any_window_of_the_stream_is_the_same_window():
    whole = stream_indices(seed=1, first=0, count=70, num_examples=30)
    assert torch.equal(stream_indices(seed=1, first=25, count=20, num_examples=30), whole[25:45])


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_one_global_batch(world_size):
    alone = Batch(seed=5, step=7, batch_size=8, num_examples=20)
    alone_draws = alone.randn(3), alone.rand(2)
    parts = [Batch(5, 7, 8, 20, rank, world_size) for rank in range(world_size)]
    draws = [(part.randn(3), part.rand(2)) for part in parts]
    assert torch.equal(torch.cat([part.indices for part in parts]), alone.indices)
    assert torch.equal(torch.cat([normal for normal, _ in draws]), alone_draws[0])
    assert torch.equal(torch.cat([uniform for _, uniform in draws]), alone_draws[1])


def test_steps_seeds_and_draws_differ():
    draws = [Batch(seed, step, 4, 10).randn(4) for seed, step in [(0, 0), (0, 1), (1, 0)]]
    batch = Batch(0, 0, 4, 10)
    draws += [batch.randn(4)[:0], batch.randn(4)]
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[4])


def test_a_batch_that_does_not_split_is_refused():
    with pytest.raises(ValueError, match=r"number of processes times gradient_accumulation_steps \(3\). Got 8"):
        Batch(0, 0, 8, 10, rank=0, world_size=3)


def test_stable_seed_is_the_same_everywhere():
    assert stable_seed(0, "x") == stable_seed(0, "x")
    assert stable_seed(0, "x") != stable_seed("0/x", "")
    assert 0 <= stable_seed("anything") < 2**63
