"""How much work the networks are: trainings and drawings, with a workload that can be counted and timed."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dermdit_kedro.work import Counts, Parameters, Work, added, light_work, number

if TYPE_CHECKING:
    from dermdit_kedro.training.footprint import Workload


def work_of(name: str, parameters: Parameters, shared: Parameters, counts: Counts, unconditional: bool = False) -> Work:
    """Describe what a node will do.

    Args:
        name: The node's name without its namespace.
        parameters: Its parameters by argument.
        shared: Blocks that hold for every node, by name: `autoencoder`, `text_encoder`, `synthesis`, `image_size`.
        counts: How many images there are.
        unconditional: Whether the node belongs to a generator without prompts.

    Returns:
        The work.
    """
    described = _NETWORKS.get(name)
    try:
        if described is not None:
            return described(parameters, shared, counts)
        if name in _OF_SYNTHETIC_IMAGES:
            return _of_synthetic(name, parameters, shared, unconditional)
    except KeyError:  # a node of another project, under the same name
        pass
    return light_work(name, parameters, counts)


def _autoencoder(parameters: Parameters, shared: Parameters, counts: Counts) -> Work:
    config, training, size = (parameters[k] for k in ("autoencoder", "autoencoder_training", "image_size"))
    if config.pretrained is not None and not config.fine_tune:
        return Work(f"adopt {config.pretrained}", added(counts.val))

    def workload() -> "Workload | None":
        from dermdit_kedro.diffusion.workloads import autoencoder_workload

        share = _share(training, parameters)
        return autoencoder_workload(config, share, size) if config.pretrained is None else None

    return _trained(training, workload, what=f"{config.pretrained}, " if config.pretrained else "")


def _text_encoder(parameters: Parameters, shared: Parameters, counts: Counts) -> Work:
    config, training = parameters["text_encoder"], parameters["text_encoder_training"]
    if config.pretrained is not None:
        return Work(f"adopt {config.pretrained}")

    def workload() -> "Workload":
        from dermdit_kedro.prompts.workloads import text_encoder_workload

        return text_encoder_workload(config, _share(training, parameters), shared["image_size"])

    return _trained(training, workload, validates=False)


def _denoiser(parameters: Parameters, shared: Parameters, counts: Counts) -> Work:
    training = parameters["denoiser_training"]
    share = _share(training, parameters)
    return _trained(training, _denoising(parameters["denoiser"], parameters["objective"], share, shared))


def _denoising(denoiser: Any, objective: Any, training: Any, shared: Parameters) -> "Callable[[], Workload | None]":
    def workload() -> "Workload | None":
        from dermdit_kedro.diffusion.sizes import latent_shape
        from dermdit_kedro.diffusion.workloads import denoiser_workload
        from dermdit_kedro.prompts.workloads import text_shape

        latents, text = latent_shape(shared["autoencoder"], shared["image_size"]), text_shape(shared["text_encoder"])
        return denoiser_workload(denoiser, objective, training, latents, text) if latents and text else None

    return workload


def _share(training: Any, parameters: Parameters) -> Any:
    """Return the training with the part of the batch that each process has."""
    processes = max(1, getattr(parameters.get("launch_config"), "world_size", 1))
    return training.model_copy(update={"batch_size": max(1, training.batch_size // processes)})


def _trained(training: Any, workload: Any, *, what: str = "", validates: bool = True) -> Work:
    steps = training.max_train_steps
    does = f"train {what}{number(steps, 'steps')}, batch {training.batch_size:,}"
    return Work(does, steps, None, steps, workload, validates=validates)


def _classifiers(block: str) -> Callable[[Parameters, Parameters, Counts], Work]:
    def describe(parameters: Parameters, shared: Parameters, counts: Counts) -> Work:
        config, training, size = (parameters[k] for k in (block, "classifier_training", "image_size"))
        several = training.num_seeds if "arm" in parameters else 1
        of = f"{several} classifiers of " if several > 1 else ""
        if counts.train is None:
            return Work(f"train {of}{training.epochs} epochs, batch {training.batch_size}")
        steps, num_train = training.for_images(counts.train).max_train_steps, counts.train

        def workload() -> "Workload":
            from dermdit_kedro.diagnosis.workloads import classifier_workload

            return classifier_workload(config, training, size, num_train)

        does = f"train {of}{number(steps, 'steps')}, batch {training.batch_size:,}"
        return Work(does, several * steps, None, several * steps, workload, copies=several)

    return describe


def _latents(parameters: Parameters, shared: Parameters, counts: Counts) -> Work:
    work, images = light_work("encode_latents", parameters, counts), added(counts.train, counts.val)

    def disk_bytes() -> int | None:
        from dermdit_kedro.diffusion.sizes import latent_shape

        shape = latent_shape(shared["autoencoder"], shared["image_size"])
        return shape.nbytes * images if shape and images is not None else None

    return Work(work.does, work.amount, disk_bytes)


def _sampling(parameters: Parameters, shared: Parameters, unconditional: bool) -> Work:
    from dermdit_kedro.diffusion.sizes import evaluations

    sampler, images = parameters["sampler"], _num_synthetic(shared, unconditional)
    asked = evaluations(sampler, is_conditional=not unconditional)
    does = f"draw {number(images, 'images')} in {sampler.num_inference_steps} steps"
    batches = -(-images // (sampler.batch_size * getattr(parameters.get("launch_config"), "world_size", 1)))

    def workload() -> "Workload | None":
        training = shared["denoiser_training"]
        drawn = training.model_copy(update={"batch_size": sampler.batch_size, "gradient_accumulation_steps": 1})
        return _denoising(shared["denoiser"], shared["objective"], drawn, shared)()

    pixels = 3 * shared["image_size"] ** 2
    return Work(does, images * asked, lambda: pixels * images, batches * asked, workload, trains=False)


def _num_synthetic(shared: Parameters, unconditional: bool) -> int:
    synthesis = shared["synthesis"]
    count: int = (synthesis.num_unconditional_images if unconditional else None) or synthesis.num_images
    return count


def _of_synthetic(name: str, parameters: Parameters, shared: Parameters, unconditional: bool) -> Work:
    if name == "sample_images":
        return _sampling(parameters, shared, unconditional)
    images = _num_synthetic(shared, unconditional)
    return Work(f"{_OF_SYNTHETIC_IMAGES[name]} {number(images, 'synthetic images')}", images)


_NETWORKS: dict[str, Callable[[Parameters, Parameters, Counts], Work]] = {
    "train_autoencoder": _autoencoder,
    "train_text_encoder": _text_encoder,
    "train_denoiser": _denoiser,
    "train_classifier": _classifiers("classifier"),
    "train_screening_classifier": _classifiers("screening_classifier"),
    "train_inception": _classifiers("inception"),
    "encode_latents": _latents,
}
_OF_SYNTHETIC_IMAGES = {
    "plan_synthesis": "plan",
    "sample_images": "draw",
    "screen_images": "screen",
    "publish_set": "publish what is kept of",
    "extract_features": "features of",
    "score_by_further_networks": "compare, by further networks,",
    "measure_autoencoder": "compare, through the autoencoder, as many as",
    "score_images": "measure",
}
