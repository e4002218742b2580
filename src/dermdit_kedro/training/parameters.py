"""Parameters of the shared training loop."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters


class TrainingConfig(Parameters):
    """How one model is trained.

    Attributes:
        max_train_steps: Optimizer steps.
        batch_size: Global batch size; it does not change with the number of processes.
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
        lr_warmup_steps: Steps of linear warm-up.
        lr_scheduler: What follows the warm-up: `constant`, or `cosine` down to zero at the last step.
        max_grad_norm: Bound on the global gradient norm.
        ema_decay: Decay of the moving average of the weights, warmed up as (1 + step) / (10 + step);
            null for none.
        mixed_precision: Autocast dtype; `no` is float32, `auto` bf16 where the device computes in it natively.
        gradient_accumulation_steps: Parts that each process works its share of the batch in, one after the other,
            where memory is short; the batch stays what it is.
        gradient_checkpointing: Whether activations are computed twice instead of kept: more time for less memory.
        compile_mode: Mode of `torch.compile`; `reduce-overhead` replays CUDA graphs, which pays where a GPU waits for
            Python. Null for none, which is right on CPUs.
        checkpointing_steps: Steps between two resumable states; a multiple of `log_steps`.
        keep_last: How many of the newest states are kept.
        log_steps: Steps averaged into one line of `metrics.jsonl`.
        validation_steps: Steps between two validations; null for none but the last.
        use_best: Whether the result is the weights with the lowest validation loss; they are kept in any case. False
            for the text encoder, which nothing validates; an autoencoder's validation leaves its discriminator out.
    """

    max_train_steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    lr_warmup_steps: int = Field(default=0, ge=0)
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema_decay: float | None = Field(default=None, ge=0, lt=1)
    mixed_precision: Literal["no", "fp16", "bf16", "auto"] = "no"
    gradient_accumulation_steps: int = Field(default=1, gt=0)
    gradient_checkpointing: bool = False
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] | None = None
    checkpointing_steps: int = Field(default=1000, gt=0)
    keep_last: int = Field(default=2, gt=0)
    log_steps: int = Field(default=20, gt=0)
    validation_steps: int | None = Field(default=None, gt=0)
    use_best: bool = False

    @property
    def speed_fields(self) -> frozenset[str]:
        """What the weights do not depend on, though what is logged and drawn on the way may."""
        names = {
            "checkpointing_steps", "keep_last", "gradient_accumulation_steps", "gradient_checkpointing", "compile_mode",
            "log_steps",
        }  # fmt: skip
        return frozenset(names if self.use_best else names | {"validation_steps"})

    @model_validator(mode="after")
    def _checkpoints_fall_on_log_lines(self) -> Self:
        if self.checkpointing_steps % self.log_steps:
            raise ValueError(
                f"checkpointing_steps must be a multiple of log_steps ({self.log_steps}), so that a resumed run "
                f"logs what an undisturbed one logs. Got {self.checkpointing_steps}"
            )
        return self
