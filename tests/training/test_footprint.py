"""What a training is said to need, beside what it takes."""

from pathlib import Path

import pytest
import torch
from tests.peak_memory import PeakMemory
from torch import nn

from dermdit_kedro.diffusion.parameters import AutoencoderConfig, DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.sizes import LatentShape, evaluations, latent_shape
from dermdit_kedro.diffusion.workloads import denoiser_workload
from dermdit_kedro.jobs import create_job
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.footprint import Workload, disk_bytes, measure_footprint, memory_bytes
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.timing import time_pass, time_step

CPU = torch.device("cpu")
TRAINING = TrainingConfig(
    max_train_steps=10, batch_size=4, learning_rate=1e-3, ema_decay=0.9, checkpointing_steps=2, log_steps=2
)


def linear(training: TrainingConfig = TRAINING) -> Workload:
    """8 to 8 without a bias: 64 weights."""
    return Workload(
        lambda: nn.Linear(8, 8, bias=False), lambda m, batch: {"loss": m(batch.randn(8)).square().mean()}, training
    )


def denoiser(width: int, depth: int, batch_size: int) -> Workload:
    config = DenoiserConfig(hidden_size=width, depth=depth, num_heads=4, patch_size=2)
    training = TRAINING.model_copy(update={"batch_size": batch_size})
    return denoiser_workload(config, ObjectiveConfig(), training, LatentShape(4, 16), (20, 64))


def test_a_matrix_is_counted_by_hand() -> None:
    footprint = measure_footprint(linear())
    assert (footprint.num_parameters, footprint.num_trained) == (64, 64)
    assert footprint.activation_bytes == 2 * 4 * 8 * 4  # the input, and the output for its square
    assert footprint.flops == 2 * (2 * 4 * 8 * 8)  # forward; and back to the weights, not to the input
    assert memory_bytes(footprint, TRAINING) == 4 * 64 * 5 + footprint.activation_bytes
    no_average = TRAINING.model_copy(update={"ema_decay": None})
    assert memory_bytes(footprint, no_average) == 4 * 64 * 4 + footprint.activation_bytes


def test_what_is_frozen_has_no_moments() -> None:
    workload = linear()
    half = Workload(
        lambda: nn.Sequential(workload.build().requires_grad_(False), workload.build()), workload.loss, TRAINING
    )
    footprint = measure_footprint(half)
    assert (footprint.num_parameters, footprint.num_trained) == (128, 64)


def test_counting_takes_no_memory_for_weights() -> None:
    """DermDiT-L/4 of the paper, 1.6 GB of weights alone."""
    config, big = DenoiserConfig(size="L", patch_size=4, adaln=False), LatentShape(4, 32)
    objective = ObjectiveConfig(prediction_type="epsilon")
    with PeakMemory() as memory:
        footprint = measure_footprint(denoiser_workload(config, objective, TRAINING, big, (77, 512)))
    assert footprint.num_parameters == pytest.approx(405e6, rel=0.01)
    assert memory.peak - memory.before < 2 * footprint.num_parameters  # this process has what earlier tests left


def test_the_disk_is_that_of_a_real_training(tmp_path: Path) -> None:
    workload = denoiser(64, 2, 4)
    job = create_job(tmp_path, "train", __name__, config={"training": TRAINING})
    model = fit(
        job, workload.build(), workload.loss, num_examples=64, training=TRAINING, seed=0, what="train",
        validate=lambda model: {"loss": 1.0},
    )  # fmt: skip
    model.save_pretrained(job.result)
    written = sum(file.stat().st_size for file in job.folder.rglob("*.safetensors"))
    assert disk_bytes(measure_footprint(workload), TRAINING, validates=True) == pytest.approx(written, rel=0.05)


def test_the_memory_is_that_of_a_real_step_within_a_factor_of_two() -> None:
    workload = denoiser(256, 6, 64)
    counted = memory_bytes(measure_footprint(workload), TRAINING.model_copy(update={"ema_decay": None}))
    time_step(denoiser(64, 1, 4), CPU, 0.1)  # what a first step loads is not its own
    with PeakMemory() as at_rest:
        torch.zeros(1)
        at_rest._end.wait(0.1)
    with PeakMemory() as memory:
        time_step(workload, CPU, 0.1)
    taken = memory.peak - at_rest.peak
    assert counted / 2 < taken < 2 * counted, (counted, taken)


def test_a_step_takes_longer_than_a_pass() -> None:
    workload = denoiser(128, 4, 32)
    assert 0 < time_pass(workload, CPU, 1.0) < time_step(workload, CPU, 1.0)


def test_parts_of_a_batch_keep_less_at_once() -> None:
    parts = TRAINING.model_copy(update={"gradient_accumulation_steps": 2})
    whole, half = measure_footprint(linear()), measure_footprint(linear(parts))
    assert 2 * half.activation_bytes == whole.activation_bytes
    assert half.flops == whole.flops


def test_guided_steps_ask_twice() -> None:
    sampler = SamplerConfig(num_inference_steps=8, guidance_scale=3.0, guidance_interval=(0.25, 1.0))
    assert evaluations(sampler, is_conditional=True) == 8 + 6
    assert evaluations(sampler, is_conditional=False) == 8


def test_latents_are_known_without_weights(tmp_path: Path) -> None:
    built = AutoencoderConfig(block_out_channels=(8, 16, 16), latent_channels=4)
    assert latent_shape(built, 32) == LatentShape(4, 8)
    assert latent_shape(AutoencoderConfig(pretrained="stabilityai/sd-vae-ft-ema"), 256) == LatentShape(4, 32)
    assert latent_shape(AutoencoderConfig(pretrained=str(tmp_path / "nothing")), 256) is None
