"""Ways to train a denoiser that `time_to_quality` compares: what each changes of the environment's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.training.parameters import TrainingConfig

LOOK_EVERY = 5
"""Steps between two looks at the clock."""

# What a recipe changes of the environment's own, which is `chosen`.
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "chosen": {},
    "prior": {
        "denoiser": {"conditioning": "pooled", "adaln": False},
        "objective": {"prediction_type": "epsilon", "beta_schedule": "linear", "prompt_dropout": 0.0},
        "training": {
            "batch_size": 16, "learning_rate": 1e-4, "lr_warmup_steps": 0, "ema_decay": 0.9999, "max_grad_norm": 1e9
        },
    },
    # one change at a time, at the batch of 64 that was tried first
    "batch_64": {"training": {"batch_size": 64}},
    "batch_64_patch_2": {"training": {"batch_size": 64}, "denoiser": {"patch_size": 2}},
    "batch_64_width_256": {"training": {"batch_size": 64}, "denoiser": {"hidden_size": 256, "depth": 8}},
    "batch_64_width_384": {
        "training": {"batch_size": 64}, "denoiser": {"hidden_size": 384, "depth": 8, "num_heads": 6}
    },
    "batch_64_epsilon": {"training": {"batch_size": 64}, "objective": {"prediction_type": "epsilon"}},
    "batch_64_no_adaln": {"training": {"batch_size": 64}, "denoiser": {"adaln": False}},
    "batch_64_learning_rate_5e-4": {"training": {"batch_size": 64, "learning_rate": 5e-4}},
    "batch_64_learning_rate_2e-3": {"training": {"batch_size": 64, "learning_rate": 2e-3}},
    "batch_64_ema_0.999": {"training": {"batch_size": 64, "ema_decay": 0.999}},
    # of the chosen one
    "learning_rate_2e-3": {"training": {"learning_rate": 2e-3}},
    "v_prediction": {"objective": {"prediction_type": "v_prediction"}},
    "epsilon_min_snr": {"objective": {"prediction_type": "epsilon", "min_snr_gamma": 5.0}},
    "no_adaln": {"denoiser": {"adaln": False}},
    "pooled": {"denoiser": {"conditioning": "pooled"}},
    "batch_16": {"training": {"batch_size": 16}},
    "ema_0.9": {"training": {"ema_decay": 0.9}},
    "ema_0.999": {"training": {"ema_decay": 0.999}},
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A way to train a denoiser, and the samplers it is drawn with: the first at all times, all at the last."""

    name: str
    denoiser: DenoiserConfig
    objective: ObjectiveConfig
    training: TrainingConfig
    samplers: tuple[SamplerConfig, ...]


def read_recipe(parameters: Mapping[str, Any], name: str) -> Recipe:
    """Build a recipe: the environment's own with its changes, at a constant learning rate for as long as it takes."""
    own, changes = parameters, RECIPES[name]
    endless = {
        "max_train_steps": 10**7, "lr_scheduler": "constant", "log_steps": LOOK_EVERY, "validation_steps": LOOK_EVERY,
        "checkpointing_steps": 10 * LOOK_EVERY,
    }  # fmt: skip
    objective = ObjectiveConfig(**{**own["objective"], **changes.get("objective", {})})
    if objective.prediction_type == "flow":
        samplers = [("flow_heun", 10)]
    else:
        samplers = [("ddim", 50), ("ddpm", 250)] if name == "prior" else [("ddim", 50)]
    return Recipe(
        name,
        DenoiserConfig(**{**own["dermdit"]["denoiser"], **changes.get("denoiser", {})}),
        objective,
        TrainingConfig(**{**own["denoiser_training"], **endless, **changes.get("training", {})}),
        tuple(SamplerConfig(scheduler=s, num_inference_steps=n, guidance_scale=1.0) for s, n in samplers),  # type: ignore[arg-type]
    )
