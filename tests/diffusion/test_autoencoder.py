"""The autoencoder: what it is trained for, what may be adopted, what is reported of it."""

import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import nn

from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.diffusion import autoencoder as trainer
from dermdit_kedro.diffusion.adversarial import PatchDiscriminator, adversarial_losses
from dermdit_kedro.diffusion.latents import LatentStack, encode
from dermdit_kedro.diffusion.parameters import AutoencoderConfig
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.diffusion.perceptual import PerceptualDistance
from dermdit_kedro.diffusion.reconstruction import _compared, measure_distance, reconstruction_psnr
from dermdit_kedro.errors import UserError
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.pipelines.generative_training import nodes
from dermdit_kedro.training.engine import Trainer
from dermdit_kedro.training.parameters import TrainingConfig

SEEN = AutoencoderConfig(
    block_out_channels=(8, 16), pixel_shuffle=2, perceptual_weight=1.0, adversarial_weight=0.1, latent_noise=0.3
)


class Killed(Exception):
    """Stands for a kill in the middle of a step."""


class Perfect(nn.Module):
    """An autoencoder that loses nothing: the latents are the image."""

    device = torch.device("cpu")

    def encode(self, x):
        return type("Out", (), {"latent_dist": type("Posterior", (), {"mean": x})})

    def decode(self, z):
        return type("Out", (), {"sample": z})


def _training(**changes):
    return TrainingConfig(
        **{"max_train_steps": 6, "batch_size": 4, "learning_rate": 1e-3, "log_steps": 1, "checkpointing_steps": 2}
        | changes
    )


def _train(images, manifest, config, folder, launch_config=None, **changes):
    return nodes.train_autoencoder(
        images, manifest, config, _training(**changes), 16, 0, launch_config or LaunchConfig(), folder
    )


def _weights(folder):
    return load_autoencoder(folder.path).state_dict()


@pytest.fixture(scope="module")
def perceptual():
    return PerceptualDistance()


@pytest.fixture(scope="module")
def stack(images):
    return ImageStack(images, list(images.index()["file"]))


@pytest.fixture(scope="module")
def given_kl(tmp_path_factory):
    """A real AutoencoderKL with random weights that shrinks images fourfold."""
    folder = tmp_path_factory.mktemp("kl")
    torch.manual_seed(0)
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16), norm_num_groups=8, latent_channels=4, scaling_factor=0.7,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def given_tiny(tmp_path_factory):
    """A real AutoencoderTiny with random weights that shrinks images fourfold."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8), num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1), latent_channels=4, scaling_factor=1.3,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_equal_images_are_at_no_perceptual_distance_and_others_pull_towards_one_another(perceptual, stack):
    images = to_float(stack[[0, 1]]).repeat_interleave(4, -1).repeat_interleave(4, -2)
    assert float(perceptual(images, images)) == 0
    other = images.flip(0).requires_grad_()
    before = perceptual(other, images)
    before.backward()
    step = 0.02 * other.grad / other.grad.norm()
    assert 0 < perceptual(other.detach() - step, images) < before.detach() < 4


def test_the_perceptual_network_stays_frozen_within_a_module_that_trains(perceptual, stack):
    before = {name: value.clone() for name, value in perceptual.state_dict().items()}
    nn.ModuleList([perceptual]).train()
    images = to_float(stack[[0, 1]]).requires_grad_()
    perceptual(images, images.flip(0)).backward()
    assert all(torch.equal(value, before[name]) for name, value in perceptual.state_dict().items())
    assert all(parameter.grad is None for parameter in perceptual.parameters())


def test_the_discriminator_learns_and_the_image_hears_the_opposite():
    torch.manual_seed(0)
    discriminator, images = PatchDiscriminator(8), torch.rand(4, 3, 16, 16) - 1
    drawn = torch.zeros(4, 3, 16, 16, requires_grad=True)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-2)
    first = adversarial_losses(discriminator, drawn, images)
    for _ in range(30):
        optimizer.zero_grad()
        losses = adversarial_losses(discriminator, drawn, images)
        (losses.discriminator + losses.adversarial).backward()
        optimizer.step()
    assert losses.discriminator < 0.5 * first.discriminator
    drawn.grad = None
    optimizer.zero_grad()
    adversarial_losses(discriminator, drawn, images).adversarial.backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    moved = drawn.detach() - 0.1 * drawn.grad / drawn.grad.abs().max()
    with torch.no_grad():
        assert discriminator(moved).mean() > discriminator(drawn).mean()
    drawn.grad = None
    adversarial_losses(discriminator, drawn, images).discriminator.backward()
    assert drawn.grad is None


def test_pixels_as_channels_shrink_the_image_as_often_again(stack):
    model = trainer.build_autoencoder(SEEN, 16)
    model.fit_patches(to_float(stack[list(range(40))]), 3.0)
    with torch.no_grad():
        code = model.encode(to_float(stack[[0]])).latent_dist.mean
    assert code.shape == (1, 4, 4, 4)
    assert float(reconstruction_psnr(model, stack[list(range(40))]).mean()) > 20, "the linear code alone"
    with pytest.raises(ValueError, match="multiple of 4"):
        trainer.build_autoencoder(SEEN, 18)


def test_training_for_eyes_and_features_brings_reconstructions_nearer(perceptual, images, manifest, stack, tmp_path):
    distances = []
    for weight in (0.0, 4.0):
        config = SEEN.model_copy(update={"perceptual_weight": weight, "adversarial_weight": 0.0})
        folder, report = _train(
            images, manifest, config, tmp_path, max_train_steps=60, learning_rate=3e-3, log_steps=20,
            checkpointing_steps=60,
        )  # fmt: skip
        assert report["psnr"]["n"] == 8
        with torch.no_grad():
            model, seen = load_autoencoder(folder.path), to_float(stack[list(range(28, 36))])
            distances.append(perceptual(model.decode(model.encode(seen).latent_dist.mean).sample, seen))
    assert distances[1] < 0.9 * distances[0]


def test_a_killed_training_ends_at_the_same_bits(images, manifest, tmp_path, monkeypatch):
    undisturbed, report = _train(images, manifest, SEEN, tmp_path / "a")
    step = Trainer._step

    def killed(self, number):
        if number == 5:
            raise Killed
        return step(self, number)

    monkeypatch.setattr(Trainer, "_step", killed)
    with pytest.raises(Killed):
        _train(images, manifest, SEEN, tmp_path / "b")
    monkeypatch.undo()
    resumed, again = _train(images, manifest, SEEN, tmp_path / "b")
    assert again["history"] == report["history"]
    before, after = _weights(undisturbed), _weights(resumed)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_best_autoencoder_is_picked_by_its_error_on_held_out_images(images, manifest, tmp_path):
    """At this learning rate the error goes up and down, so the last weights are not the best."""
    config = AutoencoderConfig(block_out_channels=(8, 16), latent_noise=0.3)
    changes = {"validation_steps": 1, "learning_rate": 0.3}
    best, report = _train(images, manifest, config, tmp_path, use_best=True, **changes)
    errors = {line["step"]: line["loss"] for line in report["history"]["validation"]}
    step = min(errors, key=errors.get)
    assert list(errors) == [1, 2, 3, 4, 5, 6] and report["history"]["best_step"] == step < 6
    until_best, _ = _train(images, manifest, config, tmp_path, **changes, max_train_steps=step)
    found = _weights(best)
    assert all(torch.equal(value, found[name]) for name, value in _weights(until_best).items())


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(images, manifest, tmp_path):
    two = LaunchConfig(launcher="accelerate", num_processes=2)
    reports = [
        _train(images, manifest, SEEN, tmp_path / name, config, max_train_steps=4)[1]
        for name, config in {"one": LaunchConfig(), "two": two}.items()
    ]
    assert len(reports[0]["history"]["loss"]) == 4
    assert reports[1]["history"]["loss"] == pytest.approx(reports[0]["history"]["loss"], abs=1e-4)


@pytest.mark.parametrize(("kind", "factor", "std"), [("kl", 0.7, None), ("tiny", 1.3, 0.0)])
def test_what_is_given_is_adopted_with_its_own_scaling_factor(
    kind, factor, std, images, manifest, stack, tmp_path, request
):
    place = request.getfixturevalue(f"given_{kind}")
    folder, report = _train(images, manifest, AutoencoderConfig(pretrained=str(place)), tmp_path)
    assert report["scaling_factor"] == factor
    model, seen = load_autoencoder(folder.path), stack[[0, 1]]
    original = (AutoencoderKL if kind == "kl" else AutoencoderTiny).from_pretrained(place)
    with torch.no_grad():
        code = original.encode(to_float(seen))
        drawn = original.decode(code.latent_dist.mean if kind == "kl" else code.latents).sample
        mine = model.decode(model.encode(to_float(seen)).latent_dist.mean).sample
    assert torch.allclose(mine, drawn, atol=1e-6)
    moments = encode(model, seen).float()
    assert moments.isfinite().all()
    if std is not None:
        assert torch.exp(0.5 * moments[:, :, 1]).max() < 1e-6
    cached = LatentStack(nodes.encode_latents(images, manifest, folder, LaunchConfig(), tmp_path))
    assert cached.shape == ((4, 8, 8) if kind == "kl" else (4, 4, 4))


def test_a_scaling_factor_that_is_not_given_is_measured(images, manifest, given_tiny, stack, tmp_path):
    model = AutoencoderTiny.from_pretrained(given_tiny)
    model.register_to_config(scaling_factor=None)
    model.save_pretrained(tmp_path / "without")
    config = AutoencoderConfig(pretrained=str(tmp_path / "without"))
    _, report = _train(images, manifest, config, tmp_path)
    with torch.no_grad():
        latents = model.encode(to_float(stack[list(range(28))])).latents
    assert report["scaling_factor"] == pytest.approx(1 / float(latents.std()), rel=1e-3)


def test_the_scaling_factor_is_measured_where_the_autoencoder_is(stack):
    class Elsewhere:
        """Codes nothing; complains of images that are on another device than its own."""

        device = torch.device("meta")

        def encode(self, x):
            assert x.device == self.device
            moments = torch.cat([torch.zeros(len(x), 4, 2, 2), torch.full((len(x), 4, 2, 2), 2 * math.log(0.5))], dim=1)
            return type("Out", (), {"latent_dist": DiagonalGaussianDistribution(moments)})

    assert trainer.measure_scaling_factor(Elsewhere(), stack, 0) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("kind", ["kl", "tiny"])
def test_a_given_autoencoder_trained_further_loses_less_of_held_out_images(kind, images, manifest, tmp_path, request):
    place = str(request.getfixturevalue(f"given_{kind}"))
    _, given = _train(images, manifest, AutoencoderConfig(pretrained=place), tmp_path)
    tuned, report = _train(
        images, manifest, AutoencoderConfig(pretrained=place, fine_tune=True), tmp_path,
        max_train_steps=60, learning_rate=5e-3, log_steps=20, checkpointing_steps=60,
    )  # fmt: skip
    assert report["psnr"]["value"] > given["psnr"]["value"] + 3
    latents = LatentStack(nodes.encode_latents(images, manifest, tuned, LaunchConfig(), tmp_path))
    rows = torch.arange(len(latents))
    noise = torch.randn(len(latents), *latents.shape, generator=torch.Generator().manual_seed(0))
    assert latents.sample(rows, torch.zeros(len(rows)), noise).std() == pytest.approx(1, abs=0.15)


def test_training_further_needs_something_given():
    with pytest.raises(ValueError, match="fine_tune must be false"):
        AutoencoderConfig(fine_tune=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"shift_factor": 0.06}, "shift_factor must be null"), ({"_class_name": "VQModel"}, "Got 'VQModel'")],
)
def test_an_autoencoder_that_does_not_fit_is_refused_by_name(change, message, images, manifest, given_kl, tmp_path):
    place = tmp_path / "given"
    shutil.copytree(given_kl, place)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=message) as caught:
        _train(images, manifest, AutoencoderConfig(pretrained=str(place)), tmp_path)
    assert "autoencoder.pretrained" in str(caught.value)


def test_the_folder_of_a_pipeline_is_refused_with_the_one_meant(images, manifest, given_kl, tmp_path):
    inner = tmp_path / "pipeline" / "vae"
    shutil.copytree(given_kl, inner)
    with pytest.raises(UserError, match=f"Did you mean {re.escape(str(inner))}"):
        _train(images, manifest, AutoencoderConfig(pretrained=str(inner.parent)), tmp_path)


def test_a_perfect_autoencoder_is_at_no_distance_and_small_groups_get_a_reason(stack, monkeypatch):
    monkeypatch.setattr("dermdit_kedro.diffusion.reconstruction.MIN_IMAGES", 12)
    files = [f"{i:02d}.png" for i in range(40)]
    stacks = {"train": ImageStack(stack._root, files[:20]), "val": ImageStack(stack._root, files[20:])}
    tones = {"train": ["light"] * 15 + ["dark"] * 5, "val": ["light"] * 13 + ["dark"] * 7}
    perfect = measure_distance(Perfect(), stacks, tones, 0)
    assert perfect["name"] == "fd_efficientnet_lite0"
    assert perfect["value"] == pytest.approx(0, abs=1e-3) and perfect["floor"] > 1
    assert perfect["n"] == 20 and perfect["by_tone_group"]["light"]["n"] == 13
    assert perfect["by_tone_group"]["dark"] == {
        "value": None, "floor": None, "n": 5, "reason": "fewer than 12 held-out or training images"
    }  # fmt: skip

    class Grey(Perfect):
        def decode(self, z):
            return type("Out", (), {"sample": z.mean((2, 3), keepdim=True).expand_as(z)})

    assert measure_distance(Grey(), stacks, tones, 0)["value"] > 100


def test_only_the_training_images_that_a_floor_needs_are_looked_at():
    """The first as many as there are held-out ones, and of each tone as many as are held out of it."""
    train, val = np.array(["light"] * 6 + ["dark"] * 3 + ["brown"] * 2), np.array(["light"] * 2 + ["dark"] * 2)
    assert _compared(train, val).tolist() == [True] * 4 + [False] * 2 + [True, True, False, False, False]
    assert _compared(train[:2], val).all()
