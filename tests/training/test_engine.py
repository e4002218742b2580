"""The training loop: schedules against closed forms, resume to the same bits, averages, bad losses."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dermdit_kedro.diffusion.transformer import DermDiTTransformer2DModel
from dermdit_kedro.errors import UserError
from dermdit_kedro.jobs import create_job
from dermdit_kedro.training.best import best_loss
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.schedules import ema_decay, learning_rate
from dermdit_kedro.training.weight_files import load_module, save_module

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
    undisturbed, job = _train(tmp_path / "a", _config(use_best=True))
    with pytest.raises(Killed):
        _train(tmp_path / "b", _config(use_best=True), kill_at=kill_at)
    resumed, resumed_job = _train(tmp_path / "b", _config(use_best=True))
    assert torch.equal(resumed.weight, undisturbed.weight)
    assert resumed_job.metrics() == job.metrics()


def _stop_at(folder, step, **changes):
    """Train to a kill; return the folder of the states, of which those of steps 10 and 20 are the newest."""
    with pytest.raises(Killed):
        _train(folder, _config(**changes), kill_at=step)
    return next(folder.glob("toy-*/checkpoints"))


@pytest.mark.parametrize("parts", [2, 8])
def test_a_batch_worked_in_parts_is_the_same_batch(tmp_path, parts):
    whole, job = _train(tmp_path / "a", _config())
    apart, apart_job = _train(tmp_path / "b", _config(gradient_accumulation_steps=parts))
    assert torch.allclose(whole.weight, apart.weight, atol=1e-5)
    assert [line["loss"] for line in apart_job.metrics()] == pytest.approx([line["loss"] for line in job.metrics()])
    assert apart_job.folder.name == job.folder.name  # it changes memory, not the result


def test_a_batch_that_does_not_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"times gradient_accumulation_steps \(3\)\. Got 8"):
        _train(tmp_path, _config(gradient_accumulation_steps=3))


def test_activations_computed_twice_give_the_same_bits(tmp_path):
    def train(folder, **changes):
        config = _config(max_train_steps=5, **changes)
        job = create_job(folder, "toy", "toy", config={"training": config})
        torch.manual_seed(0)
        model = DermDiTTransformer2DModel(sample_size=4, patch_size=2, hidden_size=16, depth=2, num_heads=2)
        text, mask = torch.randn(8, 3, 512), torch.ones(8, 3, dtype=torch.bool)

        def loss(model, batch):
            x = batch.randn(4, 4, 4)
            return {"loss": (model(x, torch.full((8,), 500.0), text, mask).sample - x).square().mean()}

        return fit(job, model, loss, num_examples=30, training=config, seed=1, what="train a toy")

    plain, twice = train(tmp_path / "a"), train(tmp_path / "b", gradient_checkpointing=True)
    assert twice.is_gradient_checkpointing
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), twice.parameters(), strict=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="GPUs have fp16")
def test_fp16_is_refused_where_nothing_computes_in_it(tmp_path):
    with pytest.raises(UserError, match=r"must be no or bf16 on a CPU.* Got fp16"):
        _train(tmp_path, _config(mixed_precision="fp16"))


def test_a_model_that_cannot_compute_twice_is_named(tmp_path):
    with pytest.raises(UserError, match="gradient_checkpointing must be false for Linear"):
        _train(tmp_path, _config(gradient_checkpointing=True))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_learns_the_same(tmp_path):
    plain, _ = _train(tmp_path / "a", _config())
    compiled, _ = _train(tmp_path / "b", _config(compile_mode="default"))
    assert torch.allclose(plain.weight, compiled.weight, atol=1e-5)


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_states_and_the_best_weights_are_kept(tmp_path, keep):
    _, job = _train(tmp_path, _config(keep_last=keep))
    assert [path.name for path in sorted(job.checkpoints.glob("step_*"))] == [
        "step_00000010", "step_00000020", "step_00000030"
    ][-keep:]  # fmt: skip
    best = json.loads((job.checkpoints / "best" / "state.json").read_text())
    assert best["loss"] == min(line["validation_loss"] for line in job.metrics() if "validation_loss" in line)
    weights = load_file(job.checkpoints / "best" / "model.safetensors")
    value = (EXAMPLES @ weights["weight"].T + weights["bias"] - TARGETS).square().mean()
    assert float(value) == pytest.approx(best["loss"], rel=1e-5)


def test_what_is_drawn_is_drawn_with_the_average_and_changes_nothing(tmp_path):
    plain, _ = _train(tmp_path / "a", _config())
    seen = []
    drawn, _ = _train(tmp_path / "b", _config(), draw=lambda model, step: seen.append((step, model.weight.clone())))
    assert [step for step, _ in seen] == [10, 20, 30, 40]
    assert torch.equal(seen[-1][1], drawn.weight)  # the result is the average
    assert torch.equal(plain.weight, drawn.weight)


def test_a_state_of_another_run_is_refused_with_what_differs(tmp_path):
    theirs = _stop_at(tmp_path / "a", 25)
    ours = create_job(tmp_path / "b", "toy", "toy", config={"training": _config(learning_rate=0.5, weight_decay=0.1)})
    shutil.copytree(theirs, ours.checkpoints, dirs_exist_ok=True)
    with pytest.raises(
        UserError, match=r"learning_rate was 0\.01 and is 0\.5; config\.training\.weight_decay was 0\.0 and is 0\.1"
    ):
        _train(tmp_path / "b", _config(learning_rate=0.5, weight_decay=0.1))


def test_a_state_goes_on_with_other_settings_of_speed(tmp_path):
    undisturbed, _ = _train(tmp_path / "a", _config())
    _stop_at(tmp_path / "b", 25)
    resumed, _ = _train(tmp_path / "b", _config(gradient_accumulation_steps=2, keep_last=5, checkpointing_steps=5))
    assert torch.allclose(undisturbed.weight, resumed.weight, atol=1e-5)


def test_what_is_logged_and_looked_at_on_the_way_may_change_between_two_states(tmp_path):
    every_step = {"log_steps": 1, "validation_steps": 1}
    undisturbed, job = _train(tmp_path / "a", _config(**every_step))
    _stop_at(tmp_path / "b", 25)  # its newest state is that of step 20
    sparse = {"log_steps": 3, "checkpointing_steps": 3, "validation_steps": None}
    resumed, resumed_job = _train(tmp_path / "b", _config(**sparse))
    assert resumed_job.folder.name == job.folder.name
    assert torch.equal(resumed.weight, undisturbed.weight)
    single = {line["step"]: line["loss"] for line in job.metrics()}
    means = {line["step"]: line["loss"] for line in resumed_job.metrics() if line["step"] > 25}
    whole = {step: sum(single[k] for k in (step - 2, step - 1, step)) / 3 for step in (27, 30, 33, 36, 39)}
    assert means == pytest.approx({**whole, 40: single[40]})
    first = next(line["loss"] for line in resumed_job.metrics() if line["step"] == 21)
    assert first == pytest.approx(single[21])  # the only step since the state


@pytest.mark.parametrize(("use_best", "is_same"), [(False, True), (True, False)])
def test_how_often_it_validates_matters_where_that_picks_the_result(tmp_path, use_best, is_same):
    keys = {
        create_job(tmp_path, "toy", "toy", config={"training": _config(use_best=use_best, validation_steps=n)}).key
        for n in (10, 20)
    }
    assert (len(keys) == 1) == is_same


def _flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda state: _flip_a_bit(state / "model.safetensors"), "as it was written.*model.safetensors has changed"),
        (lambda state: (state / "optimizer.safetensors").write_bytes(b""), "optimizer.safetensors has changed"),
        (lambda state: (state / "ema.safetensors").unlink(), "must be whole.*ema.safetensors"),
        (lambda state: (state / "state.json").write_text("{"), "must be whole"),
        (lambda state: (state / "state.json").unlink(), "must be whole.*state.json"),
    ],
)
def test_a_damaged_state_is_named_and_the_one_before_goes_on(tmp_path, damage, told):
    undisturbed, _ = _train(tmp_path / "a", _config())
    states = _stop_at(tmp_path / "b", 25)
    damage(states / "step_00000020")
    with pytest.raises(UserError, match=f"{told}.*delete .*step_00000020 to go on from step_00000010"):
        _train(tmp_path / "b", _config())
    shutil.rmtree(states / "step_00000020")
    resumed, _ = _train(tmp_path / "b", _config())
    assert torch.equal(resumed.weight, undisturbed.weight)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda best: _flip_a_bit(best / "model.safetensors"), "as it was written.*model.safetensors has changed"),
        (lambda best: (best / "model.safetensors").write_bytes(b""), "model.safetensors has changed"),
        (lambda best: (best / "model.safetensors").unlink(), "must be whole.*model.safetensors"),
        (lambda best: (best / "state.json").write_text("{"), "must be whole"),
        (lambda best: (best / "state.json").unlink(), "must be whole.*state.json"),
    ],
)
def test_damaged_best_weights_are_named_and_the_last_state_goes_on(tmp_path, damage, told):
    states = _stop_at(tmp_path, 25, use_best=True)
    damage(states / "best")
    with pytest.raises(UserError, match=f"{told}.*delete .*best to pick among the validations still to come"):
        _train(tmp_path, _config(use_best=True))
    shutil.rmtree(states / "best")
    _, job = _train(tmp_path, _config(use_best=True))
    later = [line["validation_loss"] for line in job.metrics() if "validation_loss" in line and line["step"] > 20]
    assert best_loss(states) == min(later)


def test_best_weights_damaged_while_they_are_waited_for_are_no_result(tmp_path):
    def spoil(model, step):
        if step == 40:
            _flip_a_bit(next(tmp_path.glob("toy-*/checkpoints")) / "best" / "model.safetensors")

    with pytest.raises(UserError, match=r"model\.safetensors has changed"):
        _train(tmp_path, _config(use_best=True), draw=spoil)


def test_a_state_under_the_name_of_another_step_is_refused(tmp_path):
    states = _stop_at(tmp_path, 25)
    (states / "step_00000020").rename(states / "step_00000030")
    with pytest.raises(UserError, match=r"must name its step.*step_00000030 says step 20; delete .*step_00000010"):
        _train(tmp_path, _config())


def test_weights_that_are_damaged_are_named(tmp_path):
    save_module(tmp_path / "weights.safetensors", nn.Linear(4, 1))
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"weights\.safetensors must be whole"):
        load_module(tmp_path / "weights.safetensors", nn.Linear(4, 1))


def test_the_loss_falls(tmp_path):
    _, job = _train(tmp_path, _config(max_train_steps=200, learning_rate=0.05))
    lines = [line["loss"] for line in job.metrics()]
    assert lines[-1] < 0.2 * lines[0]


def test_an_average_with_decay_zero_is_the_weights(tmp_path):
    averaged, _ = _train(tmp_path / "a", _config(ema_decay=0.0))
    plain, _ = _train(tmp_path / "b", _config(ema_decay=None))
    assert torch.equal(averaged.weight, plain.weight)


def test_the_best_weights_are_those_with_the_lowest_validation_loss(tmp_path):
    model, job = _train(tmp_path, _config(learning_rate=0.9, ema_decay=None, max_train_steps=60, use_best=True))
    lowest = min(line["validation_loss"] for line in job.metrics() if "validation_loss" in line)
    with torch.no_grad():
        assert float((model(EXAMPLES) - TARGETS).square().mean()) == pytest.approx(lowest, rel=1e-6)


def _fit_without(folder, validate):
    config = _config(use_best=True)
    job = create_job(folder, "toy", "toy", config={"training": config})
    model = nn.Linear(4, 1)
    fit(
        job, model, lambda model, batch: {"loss": model(EXAMPLES).square().mean()}, num_examples=30, training=config,
        seed=0, what="train a toy", validate=validate,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("validate", "told"),
    [
        (None, "train a toy: use_best must be false where nothing is validated"),
        (lambda model: {"psnr": 1.0}, r"must return `loss`, which picks the best\. Got \['psnr'\]"),
        (lambda model: {"loss": math.nan}, "use_best must be false where no validation loss was a finite number"),
    ],
)
def test_the_best_weights_need_something_that_picks_them(tmp_path, validate, told):
    with pytest.raises(UserError, match=told):
        _fit_without(tmp_path, validate)


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
