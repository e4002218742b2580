"""Parameters that are fine by themselves and not together: refused before the first node runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from dermdit_kedro.checks import select
from dermdit_kedro.errors import UserError

Config = Mapping[str, Any]


def refuse_combinations(parameters: Config) -> None:
    """Refuse combinations that would fail late, in the words of the parameters.

    Args:
        parameters: The parameters of the environment, with those of the command line, each block valid by itself.

    Raises:
        UserError: With one line a fault.
    """
    rules = (_seed, _sizes, _scheduler, _batches, _labels, _plan, _baseline)
    faults = [fault for rule in rules for fault in rule(parameters)]
    if faults:
        raise UserError("\n".join(faults))


def _at(parameters: Config, key: str, default: Any = None) -> Any:
    """Follow a dotted key; what is not there, or null, is the default."""
    _, value = select(parameters, key)
    return default if value is None else value


def _seed(parameters: Config) -> Iterator[str]:
    seed = _at(parameters, "seed", 0)
    if not 0 <= seed < 2**32:
        yield f"seed = {seed}: must be at least 0 and below 2**32"


def _sizes(parameters: Config) -> Iterator[str]:
    """The image, the latent image and the patches have to divide one another."""
    size, channels = _at(parameters, "image_size"), _at(parameters, "autoencoder.block_out_channels")
    if size is not None and size < 8:
        yield f"image_size = {size}: must be at least 8 pixels"
        return
    if size is None or not channels or _at(parameters, "autoencoder.pretrained"):
        return
    uneven = [count for count in channels if count % 8]
    if uneven:
        yield f"autoencoder.block_out_channels = {list(channels)}: each must be a multiple of 8, for its group norms"
    factor = _at(parameters, "autoencoder.pixel_shuffle", 1) * 2 ** (len(channels) - 1)
    latent_channels = _at(parameters, "autoencoder.latent_channels", 4)
    if latent_channels > 3 * factor**2:
        yield (
            f"autoencoder.latent_channels = {latent_channels}: must be at most {3 * factor**2}, the values of the "
            f"{factor} x {factor} pixels that a latent pixel stands for"
        )
    if size % factor:
        yield (
            f"image_size = {size}: must be a multiple of {factor}, by which an autoencoder of {len(channels)} "
            "block_out_channels shrinks it"
        )
        return
    side = size // factor
    for name, variant in parameters.items():
        denoiser = variant.get("denoiser") if isinstance(variant, Mapping) else None
        if denoiser:
            yield from _latent_sides(f"{name}.denoiser", denoiser, side)


def _latent_sides(key: str, denoiser: Config, side: int) -> Iterator[str]:
    patch, levels = denoiser.get("patch_size", 4), len(denoiser.get("block_out_channels", (1, 1)))
    if denoiser.get("architecture") == "unet":
        if side % 2 ** (levels - 1):
            yield f"{key}.block_out_channels: {levels} levels do not halve latents of {side} x {side} evenly"
    elif side % patch:
        yield f"{key}.patch_size = {patch}: must divide the side of the latents, {side}"


def _scheduler(parameters: Config) -> Iterator[str]:
    scheduler, kind = _at(parameters, "sampler.scheduler"), _at(parameters, "objective.prediction_type")
    if scheduler and kind and scheduler.startswith("flow_") != (kind == "flow"):
        fitting = "one of flow_euler, flow_heun, flow_dpm_solver, flow_unipc"
        fitting = fitting if kind == "flow" else "one of ddpm, ddim, dpm_solver, unipc"
        yield f"sampler.scheduler = {scheduler!r}: objective.prediction_type {kind!r} needs {fitting}"
    steps, trained = _at(parameters, "sampler.num_inference_steps", 1), _at(parameters, "objective.num_train_timesteps")
    most = {"ddpm": 0, "ddim": 0, "dpm_solver": 1, "unipc": 1}  # solvers of higher order need a timestep to spare
    if scheduler in most and trained and steps > trained - most[scheduler]:
        yield (
            f"sampler.num_inference_steps = {steps}: must be at most {trained - most[scheduler]} for {scheduler}, "
            f"with objective.num_train_timesteps {trained}"
        )
    if scheduler and scheduler != "ddpm" and _at(parameters, "objective.learn_sigma", default=False):
        yield f"sampler.scheduler = {scheduler!r}: objective.learn_sigma needs ddpm"


def _batches(parameters: Config) -> Iterator[str]:
    machines = _at(parameters, "launch.num_machines", 1)
    processes = _at(parameters, "launch.num_processes", 1) * machines
    for block in ("autoencoder_training", "text_encoder_training", "denoiser_training"):
        size = _at(parameters, f"{block}.batch_size")
        parts = processes * _at(parameters, f"{block}.gradient_accumulation_steps", 1)
        if size is not None and size % parts:
            factors = ["launch.num_processes", *(["launch.num_machines"] if machines > 1 else [])]
            factors += ["gradient_accumulation_steps"] if parts > processes else []
            yield f"{block}.batch_size = {size}: must be a multiple of {' x '.join(factors)}, {parts}"


def _labels(parameters: Config) -> Iterator[str]:
    """Synthetic images carry the label that plans ask for, and no other."""
    arms = [name for name in parameters if _at(parameters, f"{name}.arm.synthetic", default=False)]
    blocks = ["screening_classifier", *(["classifier"] if arms else [])]
    for block in blocks:
        label = _at(parameters, f"{block}.label_name", "is_malignant")
        if label != "is_malignant":
            yield f"{block}.label_name = {label!r}: must be is_malignant, the label synthetic images are planned by"


def _plan(parameters: Config) -> Iterator[str]:
    asked, named = _at(parameters, "synthesis.attributes", ()), _at(parameters, "five_attributes.prompt_set.attributes")
    missing = [attribute for attribute in asked if named is not None and attribute not in named]
    if missing:
        yield (
            f"synthesis.attributes = {list(asked)}: a plan balances what prompts name, and "
            f"five_attributes.prompt_set.attributes lacks {', '.join(missing)}"
        )


def _baseline(parameters: Config) -> Iterator[str]:
    baseline, arms = _at(parameters, "report.baseline_arm"), [n for n in parameters if _at(parameters, f"{n}.arm")]
    if baseline and arms and baseline not in arms:
        yield f"report.baseline_arm = {baseline!r}: must be one of {', '.join(arms)}"
