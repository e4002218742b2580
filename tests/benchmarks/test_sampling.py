"""What drawing an image costs: the sampler of `conf/base` beside the prior recipe's loop, and what each saving saves.

`uv run pytest tests/benchmarks/test_sampling.py --benchmark-enable --benchmark-only -s` prints CPU seconds of one
thread, of rounds in which all contenders take turns. The suite runs one round at toy size.
"""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import yaml
from diffusers import DDPMScheduler
from tests.benchmarks.prior_recipe import PooledDiT
from tests.benchmarks.racing import S4, TOY, Race, Size, say
from tests.peak_memory import PeakMemory

from dermdit_kedro.augmentation.parameters import SynthesisConfig
from dermdit_kedro.augmentation.plan import plan_groups
from dermdit_kedro.augmentation.synthetic_manifest import build_synthetic_manifest
from dermdit_kedro.diffusion.denoisers import build_denoiser
from dermdit_kedro.diffusion.denoising import denoise
from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.schedulers import build_scheduler
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch

TEXT_DIM, IMAGES, WORDS, PADDED = 512, 4, 20, 77


@pytest.fixture(scope="module")
def sampler(root: Path) -> SamplerConfig:
    """The sampler of `conf/base`."""
    parameters = yaml.safe_load((root / "conf/base/generative_training/parameters.yml").read_text())
    return SamplerConfig(**parameters["sampler"])


class Drawing:
    """Our loop on random weights."""

    def __init__(self, size: Size) -> None:
        config = DenoiserConfig(
            hidden_size=size.width, depth=size.depth, num_heads=size.heads, patch_size=size.patch, adaln=False
        )
        self.denoiser = build_denoiser(config, size.latent, size.channels, TEXT_DIM).eval()
        self.noise = torch.randn(IMAGES, size.channels, size.latent, size.latent)
        self.text, self.mask = torch.randn(2 * IMAGES, WORDS, TEXT_DIM), torch.ones(2 * IMAGES, WORDS, dtype=torch.bool)

    @torch.no_grad()
    def __call__(self, sampler: SamplerConfig, *, is_cached: bool = True) -> torch.Tensor:
        count = IMAGES if sampler.guidance_scale == 1 else 2 * IMAGES
        denoiser = self.denoiser if is_cached else self.denoiser.forward
        return denoise(
            denoiser, build_scheduler(ObjectiveConfig(), sampler), self.noise, self.text[-count:], self.mask[-count:],
            guidance_scale=sampler.guidance_scale, num_inference_steps=sampler.num_inference_steps,
            guidance_interval=sampler.guidance_interval,
        )  # fmt: skip


class PriorLoop:
    """The prior recipe's: every step guided, the text pooled anew each time, DDPM."""

    def __init__(self, size: Size, steps: int) -> None:
        self.model = PooledDiT(size.latent, size.channels, size.patch, size.width, size.depth, size.heads, TEXT_DIM)
        self.noise = torch.randn(IMAGES, size.channels, size.latent, size.latent)
        self.text = torch.randn(2 * IMAGES, PADDED, TEXT_DIM)
        self.scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", clip_sample=False)
        self.scheduler.set_timesteps(steps)

    @torch.no_grad()
    def __call__(self) -> torch.Tensor:
        latents = self.noise
        for t in self.scheduler.timesteps:
            noise, _ = self.model(torch.cat([latents, latents]), t.expand(2 * IMAGES), self.text)
            away, toward = noise.chunk(2)
            latents = self.scheduler.step(away + 1.5 * (toward - away), t, latents).prev_sample
        return latents


@pytest.mark.timeout(1200)
def test_drawing_beside_the_prior_loop(race: Race, benchmark, measuring: bool, sampler: SamplerConfig) -> None:
    size, steps = (S4, 250) if measuring else (TOY, 3)
    ours, prior = Drawing(size), PriorLoop(size, steps)
    assert ours(sampler).isfinite().all()  # the first call imports the scheduler
    seconds = race({"the sampler of base": lambda: ours(sampler), f"prior loop, {steps} steps": prior}, 1)
    ratio = seconds[f"prior loop, {steps} steps"] / seconds["the sampler of base"]
    say(benchmark, measuring, {**{name: value / IMAGES for name, value in seconds.items()}, "ratio": ratio})


def test_what_each_saving_saves(race: Race, benchmark, measuring: bool, sampler: SamplerConfig) -> None:
    ours = Drawing(S4 if measuring else TOY)
    everywhere = sampler.model_copy(update={"guidance_interval": (0.0, 1.0)})
    euler = everywhere.model_copy(update={"scheduler": "flow_euler", "num_inference_steps": 20})
    contenders = {
        "the sampler of base": lambda: ours(sampler),
        "text read at every step": lambda: ours(sampler, is_cached=False),
        "guided at every step": lambda: ours(everywhere),
        "Euler in 20 steps, guided at every step": lambda: ours(euler),
    }
    torch.testing.assert_close(contenders["the sampler of base"](), contenders["text read at every step"]())
    seconds = race(contenders, 5 if measuring else 1)
    base = seconds["the sampler of base"]
    figures = {f"{name}, against the sampler of base": value / base for name, value in seconds.items()}
    say(benchmark, measuring, figures)


def test_a_long_run_stays_flat(benchmark, measuring: bool, root: Path, tmp_path: Path, sampler: SamplerConfig) -> None:
    """Two thousand images by the generator of a finished run in `data/`."""
    folder = root / "data" / "06_models" / "dermdit" / "generator"
    if not folder.is_dir():
        pytest.skip("no trained generator in data/06_models: `uv run kedro run --pipeline generative_training`")
    count = 2000 if measuring else 64
    prompts = itertools.cycle(["malignant lesion, dark skin", "benign lesion, light skin, trunk", "benign lesion"])
    rows = [
        {"sample_id": f"{i:04d}", "prompt": prompt, "seed": i} for i, prompt in zip(range(count), prompts, strict=False)
    ]
    inputs = {"generator": ModelFolder(folder, "trained"), "plan": pd.DataFrame(rows)}
    job = create_job(
        tmp_path, "sample_images", "dermdit_kedro.diffusion.sample", config={"sampler": sampler}, inputs=inputs
    )
    memory: list[float] = []

    def draw() -> None:
        import dermdit_kedro.diffusion.sample as sample

        plain, process = sample.sample_batch, psutil.Process()

        def watched(*args: object) -> torch.Tensor:
            memory.append(process.memory_info().rss / 1e6)
            return plain(*args)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sample, "sample_batch", watched)
            launch(job, LaunchConfig(device="cpu"))

    benchmark.pedantic(draw, rounds=1)
    written = np.sort([path.stat().st_mtime for path in job.handle(ImageFolder).path.glob("*.png")])
    half = count // 2
    first, last = np.median(np.diff(written[::32])[: half // 32]), np.median(np.diff(written[::32])[-(half // 32) :])
    settled = memory[len(memory) // 8 :]
    say(
        benchmark, measuring,
        {
            "images": count, "seconds an image": (written[-1] - written[0]) / count,
            "time an image, last half against first": last / first,
            "MB, first of the settled": settled[0], "MB, most of them": max(settled),
        },
    )  # fmt: skip
    assert max(settled) < settled[0] + 100


def test_fifty_thousand_images_are_planned(benchmark, measuring: bool, tmp_path: Path, sampler: SamplerConfig) -> None:
    """The plan, the shares of two processes, and the manifest of what became of it."""
    count, memory = (50_000 if measuring else 600), PeakMemory()
    groups = itertools.product(("light", "brown", "dark"), (False, True), range(400))
    train = pd.DataFrame(
        [{"image_id": f"{tone}{label}{i}", "tone_group": tone, "is_malignant": label} for tone, label, i in groups]
    ).assign(sex="female", age_approx=60.0, site="trunk", prompt="dermoscopic image")
    attributes = ("is_malignant", "tone_group", "sex", "age_approx", "site")

    def plan() -> None:
        rows = plan_groups(train, SynthesisConfig(num_images=count), attributes, 0).rows
        generator = ModelFolder(tmp_path, "not looked at")
        inputs = {"generator": generator, "plan": rows[["sample_id", "prompt", "seed"]]}
        job = create_job(tmp_path, "plan", "dermdit_kedro.diffusion.sample", config={"sampler": sampler}, inputs=inputs)
        shares = [job.table("plan").iloc[rank::2] for rank in range(2)]
        assert sum(map(len, shares)) == len(rows) == count
        evidence = pd.DataFrame(
            {"nearest_train_image_id": "a", "nearest_distance": 1.0, "ita_degrees": 1.0}, rows.index
        )
        build_synthetic_manifest(
            rows, evidence.assign(tone_group="light"), pd.Series([None] * count, dtype="object"),
            generator="none", guidance_scale=3.0, num_inference_steps=8,
        ).to_parquet(tmp_path / "manifest.parquet")  # fmt: skip

    with memory:
        benchmark.pedantic(plan, rounds=1)
    assert len(pd.read_parquet(tmp_path / "manifest.parquet")) == count
    seconds = {} if not measuring else {"seconds": benchmark.stats["max"]}
    say(benchmark, measuring, {"images": count, **seconds, "GB": memory.peak / 1e9})
