"""diffusers' schedulers by name: the noise schedule of training, and how images are drawn from it."""

from typing import Any, Final

from dermdit_kedro.diffusion.parameters import ObjectiveConfig, SamplerConfig
from dermdit_kedro.errors import UserError

FLOW_TIMESTEPS = 1000
"""diffusers' flow-matching schedulers count time from 0 (data) to this (noise)."""

_FLOW: Final = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
_UNCLIPPED: Final = {"clip_sample": False}
SCHEDULERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "ddpm": ("DDPMScheduler", _UNCLIPPED),
    "ddim": ("DDIMScheduler", _UNCLIPPED),
    "dpm_solver": ("DPMSolverMultistepScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow_heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "flow_dpm_solver": ("DPMSolverMultistepScheduler", _FLOW),
    "flow_unipc": ("UniPCMultistepScheduler", _FLOW),
}
"""Names, with the class and what it is told: for diffusion, then for rectified flow."""


def fitting_schedulers(is_flow: bool) -> list[str]:
    """Name the schedulers that draw from rectified flow, or from diffusion."""
    return [name for name in SCHEDULERS if name.startswith("flow_") == is_flow]


def build_scheduler(objective: ObjectiveConfig, sampler: SamplerConfig) -> Any:
    """Return a diffusers scheduler that fits the objective.

    Args:
        objective: What the denoiser was trained for.
        sampler: The scheduler by name.

    Returns:
        A diffusers scheduler.

    Raises:
        ValueError: If the scheduler is not one of the objective's.
    """
    allowed = fitting_schedulers(objective.prediction_type == "flow")
    if sampler.scheduler not in allowed:
        raise ValueError(
            f"sampler.scheduler must fit objective.prediction_type {objective.prediction_type!r}: one of "
            f"{', '.join(allowed)}. Got {sampler.scheduler!r}"
        )
    if objective.learn_sigma and sampler.scheduler != "ddpm":
        raise ValueError(f"sampler.scheduler must be ddpm where objective.learn_sigma is on. Got {sampler.scheduler!r}")
    if objective.prediction_type == "flow":
        return _kind(sampler.scheduler)(num_train_timesteps=FLOW_TIMESTEPS, **SCHEDULERS[sampler.scheduler][1])
    return diffusion_scheduler(sampler.scheduler, objective)


def diffusion_scheduler(name: str, objective: ObjectiveConfig) -> Any:
    """Return a scheduler with the noise schedule of a diffusion objective.

    Args:
        name: `ddpm`, `ddim`, `dpm_solver` or `unipc`.
        objective: `epsilon` or `v_prediction`, with its schedule.

    Returns:
        A diffusers scheduler.
    """
    schedule = {
        "num_train_timesteps": objective.num_train_timesteps,
        "beta_schedule": objective.beta_schedule,
        "beta_start": objective.beta_start,
        "beta_end": objective.beta_end,
        "prediction_type": objective.prediction_type,
    }
    variance = {"variance_type": "learned_range"} if name == "ddpm" and objective.learn_sigma else {}
    return _kind(name)(**schedule, **SCHEDULERS[name][1], **variance)


def swap_scheduler(scheduler: Any, name: str) -> Any:
    """Return a generator folder's scheduler, or another that draws from the same noise schedule.

    Args:
        scheduler: The folder's.
        name: Of `SCHEDULERS`.

    Returns:
        `scheduler` itself where it is of that name already.

    Raises:
        UserError: If the generator was not trained for such a scheduler.
    """
    kind, told = _kind(name), SCHEDULERS[name][1]
    config = scheduler.config
    is_flow = type(scheduler).__name__.startswith("FlowMatch") or config.get("prediction_type") == "flow_prediction"
    allowed = ["ddpm"] if config.get("variance_type") == "learned_range" else fitting_schedulers(is_flow)
    if name not in allowed:
        raise UserError(f"sampler.scheduler of this generator must be one of {', '.join(allowed)}. Got {name!r}")
    return scheduler if type(scheduler) is kind else kind.from_config(config, **told)


def _kind(name: str) -> Any:
    import diffusers

    return getattr(diffusers, SCHEDULERS[name][0])
