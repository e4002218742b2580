"""One training loop for autoencoder, text encoder, denoiser and classifiers.

Batch order and noise are functions of (seed, step, position), see `streams`; the state is model,
optimizer and moving average, see `checkpoints`. So a killed run that is started again is the same run,
and the number of processes changes speed alone.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dermdit_kedro.errors import UserError
from dermdit_kedro.jobs import Job
from dermdit_kedro.progress import Progress
from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.best import best_loss, load_best, save_best
from dermdit_kedro.training.checkpoints import (
    TrainingState,
    describe_run,
    load_checkpoint,
    refuse_infinite,
    save_checkpoint,
)
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.schedules import ema_decay, learning_rate
from dermdit_kedro.training.streams import Batch

Loss = Callable[[Any, Batch], Mapping[str, Tensor]]
"""(model, batch) -> named scalars, means over this process's part; the one called `loss` is minimised."""
Validate = Callable[[Any], Mapping[str, float]]
"""(model in eval mode, with averaged weights) -> named scalars; the one called `loss` picks the best."""
Draw = Callable[[Any, int], None]
"""(model in eval mode, with averaged weights; steps done) -> nothing; draws what a person looks at."""


class _LossModule(nn.Module):
    """The model and its loss behind one `forward`, so that data parallelism sees every use of a weight."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the named losses of one batch."""
        return dict(self._loss(self.model, batch))


class Trainer:
    """The loop of one job; see `fit`."""

    def __init__(
        self, job: Job, model: nn.Module, loss: Loss, num_examples: int, training: TrainingConfig, seed: int, what: str
    ) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=False)
        self.job, self.training, self.seed, self.what, self.num_examples = job, training, seed, what, num_examples
        if training.mixed_precision == "auto":
            raise ValueError("mixed_precision must be settled before a job is made (`settle_precision`). Got auto")
        self.accelerator = Accelerator(mixed_precision=training.mixed_precision)
        if training.mixed_precision == "fp16" and self.accelerator.device.type == "cpu":  # accelerate would not say so
            raise UserError("mixed_precision must be no or bf16 on a CPU, which has no fp16 autocast. Got fp16")
        self.model = model.to(self.accelerator.device)
        self._prepare_model()
        trainable = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            trainable, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        ema = {} if training.ema_decay is None else {k: v.detach().clone() for k, v in self._averaged()}
        self.made_by = describe_run(job.spec, training)
        self.state = TrainingState(model, optimizer, ema, self.accelerator.scaler)
        self.first_step = load_checkpoint(job.checkpoints, self.state, self.made_by)
        self.module, self.optimizer = self.accelerator.prepare(_LossModule(model, loss), optimizer)
        self._best = best_loss(job.checkpoints)
        self._sums: dict[str, Tensor] = {}

    def _prepare_model(self) -> None:
        """Trade time for memory, and compile, where the settings say so."""
        if self.training.gradient_checkpointing:
            switches = [m for m in self.model.modules() if hasattr(m, "enable_gradient_checkpointing")]
            if not switches:
                raise UserError(f"gradient_checkpointing must be false for {type(self.model).__name__}. Got true")
            switches[0].enable_gradient_checkpointing()
        if self.training.compile_mode is not None:
            self.model.compile(mode=self.training.compile_mode, dynamic=False)

    def _averaged(self) -> list[tuple[str, Tensor]]:
        return [(k, v) for k, v in self.model.named_parameters() if v.requires_grad]

    def run(self, validate: Validate | None, draw: Draw | None) -> None:
        """Train from the newest state to the last step."""
        training = self.training
        progress = Progress(self.what, training.max_train_steps, "steps", done=self.first_step)
        self.model.train()
        for step in range(self.first_step, training.max_train_steps):
            losses = self._step(step)
            done = step + 1
            is_last = done == training.max_train_steps
            note = self._log(done) if done % training.log_steps == 0 or is_last else ""
            is_due = training.validation_steps is not None and done % training.validation_steps == 0
            if is_due or is_last:
                self._look(done, validate, draw)
            if done % training.checkpointing_steps == 0 and not is_last:
                self._checkpoint(done)
            progress.advance(note=f"loss {float(losses['loss'].detach()):.4f}" if progress.is_due else note)

    def _step(self, step: int) -> Mapping[str, Tensor]:
        training = self.training
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(training, step)
        parts = training.gradient_accumulation_steps
        losses: dict[str, Tensor] = {}
        for part in range(parts):
            for name, value in self._backward(step, part, parts).items():
                losses[name] = losses.get(name, 0.0) + value.detach().float() / parts
        self.accelerator.clip_grad_norm_(self.module.parameters(), training.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._average(step + 1)
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        return losses

    def _backward(self, step: int, part: int, parts: int) -> dict[str, Tensor]:
        """Add the gradients of one part of this process's share of the batch; the last part brings all together."""
        accelerator = self.accelerator
        position = accelerator.process_index * parts + part
        torch.manual_seed(stable_seed(self.seed, "model", step, position))
        batch = Batch(
            self.seed, step, self.training.batch_size, self.num_examples, position, accelerator.num_processes * parts,
            accelerator.device,
        )  # fmt: skip
        with accelerator.no_sync(self.module) if part < parts - 1 else nullcontext():
            with accelerator.autocast():
                losses: dict[str, Tensor] = self.module(batch)
            accelerator.backward(losses["loss"] / parts)
        return losses

    def _average(self, done: int) -> None:
        if self.training.ema_decay is None:
            return
        weight = 1 - ema_decay(self.training.ema_decay, done)
        parameters = [v.detach() for _, v in self._averaged()]
        torch._foreach_lerp_(list(self.state.ema.values()), parameters, weight)

    def _log(self, done: int) -> str:
        count = min((done - 1) % self.training.log_steps + 1, done - self.first_step)
        means = {k: float(self.accelerator.reduce(v / count, reduction="mean")) for k, v in self._sums.items()}
        self._sums = {}
        if not math.isfinite(means["loss"]):
            raise UserError(
                f"{self.what}: the loss must be finite. Got {means['loss']} at step {done}; the last good state is "
                f"kept in {self.job.checkpoints}. Lower learning_rate or max_grad_norm"
            )
        if self.accelerator.is_main_process:
            self.job.log_metrics(done, learning_rate=learning_rate(self.training, done - 1), **means)
        return f"loss {means['loss']:.4f}"

    def _look(self, done: int, validate: Validate | None, draw: Draw | None) -> None:
        """Validate and draw with the averaged weights on the main process; the others wait."""
        if self.accelerator.is_main_process and (validate or draw):
            live = {k: v.detach().clone() for k, v in self._averaged()} if self.state.ema else {}
            self.use_average()
            self.model.eval()
            with torch.no_grad():
                if validate is not None:
                    self._validate(done, validate)
                if draw is not None:
                    draw(self.model, done)
                self.model.load_state_dict(live, strict=False)
            self.model.train()
        self.accelerator.wait_for_everyone()

    def _validate(self, done: int, validate: Validate) -> None:
        values = dict(validate(self.model))
        if self.training.use_best and "loss" not in values:
            raise UserError(f"{self.what}: a validation must return `loss`, which picks the best. Got {sorted(values)}")
        self.job.log_metrics(done, **{f"validation_{k}": float(v) for k, v in values.items()})
        if values.get("loss", math.inf) < self._best:
            self._best = float(values["loss"])
            save_best(self.job.checkpoints, self.model, self._best, done)

    def _checkpoint(self, done: int) -> None:
        refuse_infinite(self.model, self.what, done, self.job.checkpoints)
        if self.accelerator.is_main_process:
            save_checkpoint(self.job.checkpoints, self.state, done, self.made_by, self.training.keep_last)
        self.accelerator.wait_for_everyone()

    def use_average(self) -> None:
        """Copy the moving average, where there is one, into the model."""
        with torch.no_grad():
            for name, parameter in self._averaged():
                if name in self.state.ema:
                    parameter.copy_(self.state.ema[name])


def fit(
    job: Job,
    model: nn.Module,
    loss: Loss,
    *,
    num_examples: int,
    training: TrainingConfig,
    seed: int,
    what: str,
    validate: Validate | None = None,
    draw: Draw | None = None,
) -> nn.Module:
    """Train a model in this process, or in this process's share of an accelerate launch.

    Args:
        job: Where states and metrics go; an interrupted run of the same job is continued.
        model: Freshly built with a fixed seed; trained in place.
        loss: See `Loss`.
        num_examples: Size of the data set that `batch.indices` point into.
        training: Steps, batch, optimizer.
        seed: Seed of order and noise.
        what: Name for the progress lines.
        validate: See `Validate`; called every `validation_steps` and after the last step.
        draw: See `Draw`; called at the same steps.

    Returns:
        The model in eval mode on the CPU: with the weights of the lowest validation loss where `training.use_best`
        says so, else the moving average, else the last.

    Raises:
        UserError: If nothing picks the best that `training.use_best` asks for, the loss or a weight is not finite
            (names the step and keeps the last good state), or a state or the best weights cannot be written, are
            damaged, or are those of another run.
    """
    if training.use_best and validate is None:
        raise UserError(f"{what}: use_best must be false where nothing is validated. Got true")
    trainer = Trainer(job, model, loss, num_examples, training, seed, what)
    trainer.run(validate, draw)
    refuse_infinite(model, what, training.max_train_steps, job.checkpoints)
    trainer.accelerator.wait_for_everyone()
    trainer.use_average()
    if training.use_best:
        load_best(job.checkpoints, model)
    return model.to("cpu").eval()
