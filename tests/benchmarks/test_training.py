"""What a training step costs beside others' steps, and what caching, checkpoints and loading cost beside a step.

`uv run pytest tests/benchmarks/test_training.py --benchmark-enable -s` prints medians of CPU seconds of one thread, of
rounds in which all contenders take turns. The suite runs one round at toy size and holds what came out to be whole.
"""

import itertools
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import AutoencoderKL, PixArtTransformer2DModel
from pytest_benchmark.fixture import BenchmarkFixture
from tests.benchmarks.prior_recipe import PooledDiT, PriorRecipe
from tests.benchmarks.racing import BASE, S4, TOY, Race, Size, say
from transformers import CLIPTextConfig, CLIPTextModel

from dermdit_kedro.dermoscopy.images import to_float
from dermdit_kedro.diffusion import transformer
from dermdit_kedro.diffusion.autoencoder import build_autoencoder
from dermdit_kedro.diffusion.denoisers import build_denoiser
from dermdit_kedro.diffusion.latents import LatentStack, encode
from dermdit_kedro.diffusion.objective import Objective
from dermdit_kedro.diffusion.parameters import AutoencoderConfig, DenoiserConfig, ObjectiveConfig
from dermdit_kedro.diffusion.train import DenoisingData, denoising_losses
from dermdit_kedro.handles import Latents
from dermdit_kedro.jobs import create_job
from dermdit_kedro.training.checkpoints import load_checkpoint, save_checkpoint
from dermdit_kedro.training.engine import Trainer
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.precision import settle_precision

TEXT_DIM = 512
EXAMPLES = 256
EPOCHS = 10
"""Over which the cost of caching is spread."""
FASTEST = settle_precision(
    TrainingConfig(max_train_steps=1, batch_size=1, learning_rate=1, mixed_precision="auto"), "cpu"
).mixed_precision
"""bf16 where the CPU computes in it; where it only emulates it, float32."""


WORDS = 20
"""Tokens of the longest prompt; those beyond are padding."""


class Ours:
    """The project's own trainer on cached latents of random numbers.

    Args:
        folder: A fresh folder.
        size: Of the denoiser and what it is given.
        words: Tokens of a prompt that are kept, all of them real or, beyond `WORDS`, padding.
        adaln: Whether blocks are modulated.
        precision: What the step computes in.
    """

    def __init__(self, folder: Path, size: Size, words: int, adaln: bool = False, precision: Any = FASTEST) -> None:
        rng = np.random.default_rng(0)
        moments = rng.standard_normal((EXAMPLES, 2, 2, size.channels, size.latent, size.latent), dtype="float32")
        folder.mkdir()
        np.save(folder / "moments.npy", moments.astype("float16"))
        (folder / "latents.json").write_text('{"scaling_factor": 1.0}')
        self.latents = LatentStack(Latents(folder, "random numbers"))
        prompts = torch.randn(EXAMPLES, words, TEXT_DIM), (torch.arange(words) < WORDS).expand(EXAMPLES, words)
        rows = pd.DataFrame({"latent_row": range(EXAMPLES), "text_row": range(EXAMPLES), "tone_group": "light"})
        self.data = DenoisingData(self.latents, prompts, rows, torch.device("cpu"))
        config = DenoiserConfig(
            hidden_size=size.width, depth=size.depth, num_heads=size.heads, patch_size=size.patch, adaln=adaln
        )
        model = build_denoiser(config, size.latent, size.channels, TEXT_DIM)
        training = TrainingConfig(
            max_train_steps=10**6, batch_size=size.batch, learning_rate=1e-4, ema_decay=0.99, mixed_precision=precision
        )
        job = create_job(folder / "work", "train", "none", config={"training": training})
        self.objective, self.size, self.loading = Objective(ObjectiveConfig(prediction_type="epsilon")), size, 0.0
        self.trainer = Trainer(job, model, self._loss, EXAMPLES, training, 0, "train")
        self._steps = itertools.count()

    def _loss(self, model: Any, batch: Any) -> dict[str, torch.Tensor]:
        """Draw as `diffusion.train` does; what that takes is counted."""
        start = time.process_time()
        mirrored = batch.rand(1)[:, 0] < 0.5
        z = self.latents.sample(self.data.latent_rows[batch.indices], mirrored, batch.randn(*self.latents.shape))
        dropped = batch.rand(1)[:, 0] < 0.1
        noise, timestep = batch.randn(*self.latents.shape), batch.randn(1)[:, 0]
        prompts = self.data.prompts(batch.indices, dropped)
        self.loading += time.process_time() - start
        return {"loss": denoising_losses(model, self.objective, z, noise, timestep, prompts).mean()}

    def step(self) -> float:
        return float(self.trainer._step(next(self._steps))["loss"].detach())


class Plain:
    """A model in the bare loop: forward, backward, clip, fused AdamW, moving average, in the fastest dtype."""

    def __init__(self, model: Any, predict: Callable[[Any], torch.Tensor], target: torch.Tensor) -> None:
        self.model, self.predict, self.target = model, predict, target
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=1e-4, fused=True)
        self.average = [weight.detach().clone() for weight in self.weights]

    def step(self) -> float:
        with torch.autocast("cpu", torch.bfloat16) if FASTEST == "bf16" else nullcontext():
            loss = torch.nn.functional.mse_loss(self.predict(self.model).float(), self.target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        torch._foreach_lerp_(self.average, [weight.detach() for weight in self.weights], 0.01)
        return float(loss.detach())


def pixart(size: Size, words: int) -> Plain:
    """PixArt-alpha's transformer of diffusers at the same width, depth and tokens."""
    model = PixArtTransformer2DModel(
        num_attention_heads=size.heads, attention_head_dim=size.width // size.heads, num_layers=size.depth,
        cross_attention_dim=size.width, in_channels=size.channels, out_channels=size.channels, sample_size=size.latent,
        patch_size=size.patch, caption_channels=TEXT_DIM, use_additional_conditions=False,
    )  # fmt: skip
    noisy, noise = torch.randn(2, size.batch, size.channels, size.latent, size.latent)
    timestep, text = torch.randint(0, 1000, (size.batch,)), torch.randn(size.batch, words, TEXT_DIM)
    mask = (torch.arange(words) < WORDS).expand(size.batch, words).long()

    def predict(model: Any) -> torch.Tensor:
        out = model(
            noisy, encoder_hidden_states=text, timestep=timestep, encoder_attention_mask=mask, return_dict=False,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        )  # fmt: skip
        return out[0]

    return Plain(model, predict, noise)


def prior(size: Size) -> PriorRecipe:
    return PriorRecipe(PooledDiT(size.latent, size.channels, size.patch, size.width, size.depth, size.heads, TEXT_DIM))


def kept(values: list[float], step: Callable[[], float]) -> Callable[[], None]:
    """Have a step keep its loss."""
    return lambda: values.append(step())


@pytest.mark.benchmark(group="training step")
def test_training_step(benchmark: BenchmarkFixture, race: Race, measuring: bool, tmp_path: Path) -> None:
    size = S4 if measuring else TOY
    words = min(WORDS, size.text)
    recipe = prior(size)
    clean, text = (
        torch.randn(size.batch, size.channels, size.latent, size.latent),
        torch.randn(size.batch, size.text, TEXT_DIM),
    )
    contenders = {
        "ours": Ours(tmp_path / "a", size, words).step,
        "ours, padded text": Ours(tmp_path / "b", size, size.text).step,
        "PixArt": pixart(size, words).step,
        "PixArt, padded text": pixart(size, size.text).step,
        "prior recipe": lambda: recipe.step(clean, text),
    }
    losses: dict[str, list[float]] = {name: [] for name in contenders}
    seconds = race({name: kept(losses[name], step) for name, step in contenders.items()}, rounds=9)
    mine = seconds["ours"]
    say(benchmark, measuring, {**seconds, **{f"{k} / ours": v / mine for k, v in seconds.items() if k != "ours"}})
    assert np.isfinite([loss for part in losses.values() for loss in part]).all()
    assert all(len(part) == len(losses["ours"]) for part in losses.values())


@pytest.mark.benchmark(group="training step")
def test_step_in_bfloat16(
    benchmark: BenchmarkFixture, race: Race, measuring: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The miniature in float32, in bfloat16 as it is, and with the fused kernel of attention in its place."""
    size, ours = BASE if measuring else TOY, transformer._attend

    def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    losses: dict[str, list[float]] = {"float32": [], "bfloat16": [], "bfloat16, fused kernel": []}

    def contender(name: str) -> Callable[[], None]:
        made = Ours(tmp_path / name, size, size.text, adaln=True, precision="no" if name == "float32" else "bf16")

        def step() -> None:
            monkeypatch.setattr(transformer, "_attend", fused if "fused" in name else ours)
            losses[name].append(made.step())

        return step

    seconds = race({name: contender(name) for name in losses}, rounds=9)
    mine = seconds["bfloat16"]
    say(benchmark, measuring, {**seconds, **{f"{k} / bfloat16": v / mine for k, v in seconds.items() if v != mine}})
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bfloat16"] == pytest.approx(losses["bfloat16, fused kernel"], rel=0.02)


@pytest.mark.benchmark(group="training step")
def test_step_from_images(benchmark: BenchmarkFixture, race: Race, measuring: bool, tmp_path: Path) -> None:
    """The prior recipe encodes images and prompts anew in each step; here each is encoded once, images also mirrored.

    Random weights of the sizes of Stable Diffusion's autoencoder and CLIP ViT-B/32: the time does not depend on them.
    One image goes through the autoencoder, and the time counts as often as there are images in a batch.
    """
    size = S4 if measuring else TOY
    channels = (128, 256, 512, 512) if measuring else (32, 32)
    vae = AutoencoderKL(
        block_out_channels=channels, layers_per_block=2 if measuring else 1, latent_channels=size.channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels), up_block_types=("UpDecoderBlock2D",) * len(channels),
    ).eval()  # fmt: skip
    clip = CLIPTextModel(CLIPTextConfig() if measuring else CLIPTextConfig(num_hidden_layers=1)).eval()
    image = torch.randint(0, 256, (1, 3, *[size.latent * 2 ** (len(channels) - 1)] * 2), dtype=torch.uint8)
    ids = torch.randint(0, 49408, (size.batch, size.text))
    recipe, ours = prior(size), Ours(tmp_path / "a", size, min(WORDS, size.text))
    latents = torch.randn(size.batch, size.channels, size.latent, size.latent)
    losses: dict[str, list[float]] = {"ours": [], "prior": []}
    made: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def encode_image() -> None:
        made["latents"] = vae.encode(to_float(image)).latent_dist.sample()

    @torch.no_grad()
    def encode_text() -> None:
        made["text"] = clip(input_ids=ids).last_hidden_state

    encode_text()
    contenders = {
        "prior step": kept(losses["prior"], lambda: recipe.step(latents, made["text"])),
        "our step": kept(losses["ours"], ours.step),
        "an image encoded": encode_image,
        "an image and its mirror image cached": lambda: made.update(moments=encode(vae, image)),
        "a batch of prompts encoded": encode_text,
    }
    seconds = race(contenders, rounds=3)
    text, mirrored = seconds["a batch of prompts encoded"], seconds["an image and its mirror image cached"]
    theirs = seconds["prior step"] + size.batch * seconds["an image encoded"] + text
    cached = seconds["our step"] + (size.batch * mirrored + text) / EPOCHS
    say(
        benchmark, measuring, {**seconds, "prior": theirs, "ours with caching": cached, "prior / ours": theirs / cached}
    )
    assert np.isfinite([*losses["ours"], *losses["prior"]]).all()
    assert made["latents"].shape == (1, *latents.shape[1:])
    assert made["moments"].shape == (1, 2, 2, *latents.shape[1:])
    assert made["text"].shape == (size.batch, size.text, TEXT_DIM)


@pytest.mark.benchmark(group="loading")
@pytest.mark.parametrize("name", ["S4", "base"])
def test_loading(benchmark: BenchmarkFixture, race: Race, measuring: bool, tmp_path: Path, name: str) -> None:
    """The share of a step that goes into drawing its batch."""
    size = ({"S4": S4, "base": BASE}[name]) if measuring else TOY
    ours = Ours(tmp_path / "a", size, min(WORDS, size.text), adaln=name == "base")
    losses: list[float] = []
    seconds = race({"step": kept(losses, ours.step)}, rounds=9)
    share = ours.loading / len(losses) / seconds["step"]
    say(benchmark, measuring, {**seconds, f"share of loading, {name}": share})
    assert np.isfinite(losses).all()
    assert 0 < share < 1


@pytest.mark.benchmark(group="checkpoints")
def test_checkpoints(benchmark: BenchmarkFixture, race: Race, measuring: bool, tmp_path: Path) -> None:
    """Saving and loading a state, in steps; by the wall's clock, for the disk is waited for."""
    size = S4 if measuring else TOY
    ours = Ours(tmp_path / "a", size, min(WORDS, size.text))
    ours.step()
    state, steps, read = ours.trainer.state, itertools.count(1), []
    contenders = {
        "step": ours.step,
        "save": lambda: save_checkpoint(tmp_path / "states", state, next(steps), {}, 2),
        "load": lambda: read.append(load_checkpoint(tmp_path / "states", state, {})),
    }
    seconds = race(contenders, rounds=5, clock=time.perf_counter)
    say(benchmark, measuring, {**seconds, **{f"{k} in steps": seconds[k] / seconds["step"] for k in ("save", "load")}})
    assert read == list(range(1, len(read) + 1))


@pytest.mark.benchmark(group="caching")
def test_caching(benchmark: BenchmarkFixture, race: Race, measuring: bool) -> None:
    """Images a second through the encoder of `ham10000` of 64 px, each as it is and mirrored, in both layouts."""
    config = AutoencoderConfig(block_out_channels=(64, 64), pixel_shuffle=2, latent_channels=4)
    layouts = {"rows": torch.contiguous_format, "channels last": torch.channels_last}
    torch.manual_seed(0)
    weights = build_autoencoder(config, 64).state_dict()
    images = torch.randint(0, 256, (64 if measuring else 2, 3, 64, 64), dtype=torch.uint8)
    made: dict[str, torch.Tensor] = {}

    def contender(name: str) -> Callable[[], None]:
        autoencoder = build_autoencoder(config, 64).eval()
        autoencoder.load_state_dict(weights)
        autoencoder.to(memory_format=layouts[name])
        return lambda: made.update({name: encode(autoencoder, images)})

    seconds = race({name: contender(name) for name in layouts}, rounds=5)
    say(benchmark, measuring, {f"images a second, {name}": len(images) / value for name, value in seconds.items()})
    assert made["rows"].shape == (len(images), 2, 2, 4, 16, 16)
    assert torch.allclose(made["rows"].float(), made["channels last"].float(), atol=0.02)


@pytest.mark.benchmark(group="checkpoints")
def test_export(benchmark: BenchmarkFixture, race: Race, measuring: bool, tmp_path: Path) -> None:
    """Writing the weights as `diffusers` loads them, in steps; by the wall's clock."""
    size = S4 if measuring else TOY
    ours = Ours(tmp_path / "a", size, min(WORDS, size.text))
    model: Any = ours.trainer.model
    contenders = {"step": ours.step, "export": lambda: model.save_pretrained(tmp_path / "denoiser")}
    seconds = race(contenders, rounds=5, clock=time.perf_counter)
    say(benchmark, measuring, {**seconds, "export in steps": seconds["export"] / seconds["step"]})
    again = type(model).from_pretrained(tmp_path / "denoiser").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_the_bound_of_the_prior_recipe_is_zero_for_the_exact_posterior_and_above_it_for_others() -> None:
    recipe = prior(TOY)
    clean, noise = torch.randn(2, 50, TOY.channels, TOY.latent, TOY.latent)
    t = torch.randint(1, 1000, (50,))
    noisy = recipe.schedule.add_noise(clean, noise, t)
    exact = torch.full_like(clean, -1)  # the lower bound of the variance is the posterior's
    assert abs(float(recipe.bound(clean, noisy, t, noise, exact))) < 1e-4
    assert float(recipe.bound(clean, noisy, t, noise, exact + 1)) > 1e-6
    assert float(recipe.bound(clean, noisy, t, noise + 0.1, exact)) > 1e-6
