"""The training loop: schedules against closed forms, resume to the same bits, averages, bad losses."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from dermdit_kedro.errors import UserError
from dermdit_kedro.jobs import create_job
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.schedules import ema_decay, learning_rate

EXAMPLES = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
TARGETS = EXAMPLES.sum(1, keepdim=True)


class Killed(Exception):
    """Stands for a kill in the middle of a step."""


def _config(**changes):
    return TrainingConfig(
        **{
            "max_train_steps": 40, "batch_size": 8, "learning_rate": 1e-2, "ema_decay": 0.9, "lr_warmup_steps": 5,
            "checkpointing_steps": 10, "log_steps": 5, "validation_steps": 10, **changes,
        }
    )  # fmt: skip


def _train(folder: Path, config: TrainingConfig, kill_at: int | None = None, **options):
    job = create_job(folder, "toy", "toy", config={"training": config})
    torch.manual_seed(0)
    model = nn.Linear(4, 1)

    def loss(model, batch):
        if batch.step == kill_at:
            raise Killed
        return {
            "loss": (model(EXAMPLES[batch.indices] + 0.1 * batch.randn(4)) - TARGETS[batch.indices]).square().mean()
        }

    def validate(model):
        return {"loss": float((model(EXAMPLES) - TARGETS).square().mean())}

    model = fit(
        job, model, loss, num_examples=30, training=config, seed=1, what="train a toy", validate=validate, **options
    )
    return model, job


@pytest.mark.parametrize("kill_at", [3, 10, 27, 39])
def test_a_killed_run_ends_at_the_same_bits(tmp_path, kill_at):
    undisturbed, job = _train(tmp_path / "a", _config(), keep_best=True)
    with pytest.raises(Killed):
        _train(tmp_path / "b", _config(), kill_at=kill_at, keep_best=True)
    resumed, resumed_job = _train(tmp_path / "b", _config(), keep_best=True)
    assert torch.equal(resumed.weight, undisturbed.weight)
    assert resumed_job.metrics() == job.metrics()


def test_the_loss_falls(tmp_path):
    _, job = _train(tmp_path, _config(max_train_steps=200, learning_rate=0.05))
    lines = [line["loss"] for line in job.metrics()]
    assert lines[-1] < 0.2 * lines[0]


def test_an_average_with_decay_zero_is_the_weights(tmp_path):
    averaged, _ = _train(tmp_path / "a", _config(ema_decay=0.0))
    plain, _ = _train(tmp_path / "b", _config(ema_decay=None))
    assert torch.equal(averaged.weight, plain.weight)


def test_the_best_weights_are_those_with_the_lowest_validation_loss(tmp_path):
    model, job = _train(tmp_path, _config(learning_rate=0.9, ema_decay=None, max_train_steps=60), keep_best=True)
    lowest = min(line["validation_loss"] for line in job.metrics() if "validation_loss" in line)
    with torch.no_grad():
        assert float((model(EXAMPLES) - TARGETS).square().mean()) == pytest.approx(lowest, rel=1e-6)


def test_a_loss_that_is_not_finite_stops_with_the_step(tmp_path):
    config = _config(max_train_steps=10)
    job = create_job(tmp_path, "toy", "toy", config={"training": config})
    with pytest.raises(UserError, match="Got nan at step 5"):
        fit(
            job, nn.Linear(4, 1), lambda model, batch: {"loss": model(EXAMPLES).mean() * math.nan},
            num_examples=30, training=config, seed=0, what="train a toy",
        )  # fmt: skip


def test_weights_that_are_not_finite_are_never_written(tmp_path):
    """The loss of step 9 is finite, its gradient is not: the state after step 10 would be lost for good."""
    config = _config(max_train_steps=20, ema_decay=None)
    job = create_job(tmp_path, "toy", "toy", config={"training": config})

    def loss(model, batch):
        value = model(EXAMPLES).square().mean()
        cliff = (value - value.detach()).abs().sqrt()  # zero, and its slope is not a number
        return {"loss": value + cliff if batch.step == 9 else value}

    with pytest.raises(UserError, match="not after step 10"):
        fit(job, nn.Linear(4, 1), loss, num_examples=30, training=config, seed=0, what="train a toy")
    assert list(job.checkpoints.glob("step_*")) == []


def test_learning_rate_against_its_closed_form():
    config = _config(max_train_steps=105, lr_warmup_steps=5, lr_scheduler="cosine", learning_rate=2.0)
    assert learning_rate(config, 0) == pytest.approx(0.4)
    assert learning_rate(config, 5) == pytest.approx(2.0)
    assert learning_rate(config, 55) == pytest.approx(1.0)
    assert learning_rate(config, 104) < 0.01
    assert learning_rate(_config(), 39) == 1e-2


def test_the_decay_warms_up_and_is_bounded():
    assert ema_decay(0.999, 1) == pytest.approx(2 / 11)
    assert ema_decay(0.999, 10**6) == 0.999


def test_checkpoints_must_fall_on_log_lines():
    with pytest.raises(ValueError, match=r"multiple of log_steps \(5\)"):
        _config(checkpointing_steps=12)
