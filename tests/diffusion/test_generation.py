"""From images to a generator folder and back to images, through the real nodes at toy size."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import CLIPTextConfig, CLIPTextModel

from dermdit_kedro.dermoscopy.images import ImageStack, read_rgb, to_float
from dermdit_kedro.diffusion.latents import LatentStack
from dermdit_kedro.diffusion.parameters import AutoencoderConfig, DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.diffusion.reconstruction import reconstruction_psnr
from dermdit_kedro.diffusion.sampler import DermDiTPipeline
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, Latents, ModelFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.pipelines.generative_training import nodes
from dermdit_kedro.training.parameters import TrainingConfig

AUTOENCODER = AutoencoderConfig(block_out_channels=(8, 16), latent_channels=4)
DENOISER = DenoiserConfig(patch_size=2, hidden_size=32, depth=2, num_heads=2)
UNET = DenoiserConfig(architecture="unet", block_out_channels=(16, 32))
FLOW = ObjectiveConfig(prediction_type="flow")
SHOWS = {"sources": {"discs": {"layout": "phantom"}}}
SAMPLER = SamplerConfig(num_inference_steps=3, guidance_scale=2.0, batch_size=4)


def _training(**changes):
    return TrainingConfig(
        **{"max_train_steps": 6, "batch_size": 4, "learning_rate": 1e-3, "log_steps": 1, "checkpointing_steps": 2}
        | changes
    )


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def autoencoder(images, manifest, work_dir):
    training = _training(max_train_steps=60, learning_rate=5e-3, log_steps=20, checkpointing_steps=20)
    return nodes.train_autoencoder(images, manifest, AUTOENCODER, training, 16, 0, LaunchConfig(), work_dir)


@pytest.fixture(scope="module")
def latents(images, manifest, autoencoder, work_dir):
    return nodes.encode_latents(images, manifest, autoencoder[0], LaunchConfig(), work_dir)


def _train_denoiser(latents, text_embeddings, manifest, autoencoder, work_dir, denoiser=DENOISER, **options):
    objective, training = options.get("objective", FLOW), options.get("training", _training())
    sampler = SamplerConfig(scheduler="flow_euler" if objective is FLOW else "ddpm", num_inference_steps=2)
    return nodes.train_denoiser(
        latents, text_embeddings, manifest, autoencoder[0], denoiser, objective, training, sampler, 0,
        options.get("launch", LaunchConfig()), work_dir,
    )  # fmt: skip


def _export(trained, autoencoder, text_encoder, manifest, work_dir, denoiser=DENOISER, objective=FLOW, sampler=SAMPLER):
    prompts = manifest[["image_id"]].assign(prompt="a benign lesion", prompt_source="template")
    return nodes.export_generator(
        trained[0], autoencoder[0], text_encoder, manifest, prompts, SHOWS, trained[1], autoencoder[1], 16, denoiser,
        objective, sampler, LaunchConfig(), work_dir, "dermdit",
    )  # fmt: skip


@pytest.fixture(scope="module")
def generator(latents, text_embeddings, manifest, autoencoder, text_encoder, work_dir):
    denoiser = _train_denoiser(latents, text_embeddings, manifest, autoencoder, work_dir)
    return _export(denoiser, autoencoder, text_encoder, manifest, work_dir)


def test_a_generator_tells_nobody_where_it_was_made(generator, work_dir):
    texts = {file: file.read_text() for file in generator.path.rglob("*") if file.suffix in (".json", ".md", ".txt")}
    assert len(texts) > 5
    assert [file.name for file, text in texts.items() if str(work_dir) in text or "_name_or_path" in text] == []


def test_the_autoencoder_learns_and_reports(autoencoder, images):
    folder, report = autoencoder
    model = load_autoencoder(folder.path)
    assert report["psnr"]["n"] == 8
    assert set(report["by_tone_group"]) == {"light", "brown", "dark"}
    assert set(report["how_to_read"]) == {"psnr", "by_tone_group", "frechet_distance"} < set(report)
    assert model.config.scaling_factor == report["scaling_factor"]
    assert report["history"]["last_loss"] < report["history"]["first_loss"]


def test_images_of_another_size_than_asked_for_are_refused(images, manifest, tmp_path):
    with pytest.raises(UserError, match=r"image_size is 32, but 40 of 40 images .* has 16 x 16 pixels"):
        nodes.train_autoencoder(images, manifest, AUTOENCODER, _training(), 32, 0, LaunchConfig(), tmp_path)


def test_psnr_against_its_definition():
    class Off(torch.nn.Module):
        """Reconstructs every image one grey level too bright."""

        device = torch.device("cpu")

        def encode(self, x):
            return type("Out", (), {"latent_dist": type("Posterior", (), {"mean": x})})

        def decode(self, z):
            return type("Out", (), {"sample": z + 1 / 127.5})

    images = torch.randint(0, 200, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.allclose(reconstruction_psnr(Off(), images), torch.full((2,), 20 * np.log10(255.0)), atol=1e-2)


def test_latents_leave_test_images_out_and_have_unit_variance(latents, manifest):
    stack = LatentStack(latents)
    assert set(latents.index()["image_id"]) == set(manifest.loc[manifest["split"] != "test", "image_id"])
    rows = torch.arange(len(stack))
    noise = torch.randn(len(stack), *stack.shape, generator=torch.Generator().manual_seed(0))
    assert stack.sample(rows, torch.zeros(len(rows)), noise).std() == pytest.approx(1, abs=0.1)


def test_the_mirrored_twin_is_the_latent_of_the_mirrored_image(latents, autoencoder, images):
    stack, model = LatentStack(latents), load_autoencoder(autoencoder[0].path)
    with torch.no_grad():
        mean = model.encode(to_float(ImageStack(images, ["00.png"])[[0]]).flip(-1)).latent_dist.mean
    zero = torch.zeros(1, *stack.shape)
    twin = stack.sample(torch.tensor([0]), torch.tensor([1]), zero) / stack.scaling_factor
    assert torch.allclose(twin, mean, atol=5e-3)


def test_two_processes_give_the_losses_of_one(latents, text_embeddings, manifest, autoencoder, tmp_path):
    losses = []
    for name, config in {
        "one": LaunchConfig(),
        "two": LaunchConfig(launcher="accelerate", num_processes=2),
    }.items():
        _, history, _ = _train_denoiser(
            latents, text_embeddings, manifest, autoencoder, tmp_path / name,
            training=_training(max_train_steps=12), launch=config,
        )  # fmt: skip
        losses.append(history["loss"])
    assert len(losses[0]) == 12
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


@pytest.mark.parametrize(
    "denoiser",
    [
        DENOISER,
        DENOISER.model_copy(update={"conditioning": "pooled"}),
        DENOISER.model_copy(update={"conditioning": "none"}),
        UNET,
        UNET.model_copy(update={"conditioning": "none"}),
    ],
)
def test_every_kind_of_denoiser_trains_exports_and_samples(
    denoiser, latents, text_embeddings, manifest, autoencoder, text_encoder, tmp_path
):
    trained = _train_denoiser(latents, text_embeddings, manifest, autoencoder, tmp_path, denoiser)
    assert np.isfinite(trained[1]["loss"]).all()
    exported = _export(trained, autoencoder, text_encoder, manifest, tmp_path, denoiser)
    pipeline = DermDiTPipeline.from_pretrained(exported.path)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("malignant").images[0]
    assert image.size == (16, 16)
    if not denoiser.conditional:
        with pytest.raises(ValueError, match="guidance_scale must be 1"):
            pipeline("malignant", guidance_scale=2.0)


@pytest.mark.parametrize("denoiser", [DENOISER, UNET])
def test_a_learned_variance_trains_exports_and_samples(
    denoiser, latents, text_embeddings, manifest, autoencoder, text_encoder, tmp_path
):
    objective, sampler = ObjectiveConfig(prediction_type="epsilon", learn_sigma=True), SamplerConfig(scheduler="ddpm")
    trained = _train_denoiser(latents, text_embeddings, manifest, autoencoder, tmp_path, denoiser, objective=objective)
    assert np.isfinite(trained[1]["loss"]).all()
    exported = _export(trained, autoencoder, text_encoder, manifest, tmp_path, denoiser, objective, sampler)
    pipeline = DermDiTPipeline.from_pretrained(exported.path)
    assert pipeline.denoiser.config.out_channels == 2 * pipeline.denoiser.config.in_channels
    assert pipeline(["malignant", "dark"], guidance_scale=2.0, num_inference_steps=2).images[1].size == (16, 16)


def test_training_shows_its_losses_by_tone_and_its_pictures(latents, text_embeddings, manifest, autoencoder, tmp_path):
    training = _training(max_train_steps=4, validation_steps=2)
    arguments = (latents, text_embeddings, manifest, autoencoder)
    _, history, sheets = _train_denoiser(*arguments, tmp_path, training=training)
    assert [point["step"] for point in history["validation"]] == [2, 4]
    assert set(history["validation"][0]) == {"step", "loss", "loss_light", "loss_brown", "loss_dark"}
    held_out = manifest[manifest["split"] == "val"]["tone_group"].value_counts()
    weighted = sum(history["validation"][0][f"loss_{name}"] * count for name, count in held_out.items())
    assert history["validation"][0]["loss"] == pytest.approx(weighted / held_out.sum())
    assert list(sheets.index()["file"]) == ["step_00000002.png", "step_00000004.png"]
    # four prompts of each of three tone groups, which are named to the left; above, the step
    assert sheets.index()["width"].tolist() == [64 + 4 * 96] * 2
    assert sheets.index()["height"].tolist() == [20 + 3 * 96] * 2
    above, other = (read_rgb(sheets.path / file)[:20] for file in sheets.index()["file"])
    assert (above != other).any()
    _, _, again = _train_denoiser(*arguments, tmp_path / "again", training=training)
    assert again.index()["sha256"].equals(sheets.index()["sha256"])


def test_the_model_card_says_what_was_learned_from_and_loads_as_a_card(generator, manifest):
    card = ModelCard.load(generator.path / "README.md")
    assert card.data.library_name == "diffusers"
    counts = manifest[manifest["split"] == "train"]["tone_group"].value_counts()
    malignant = int(manifest[manifest["split"] == "train"]["is_malignant"].sum())
    assert f"| discs | {counts['brown']} | {counts['dark']} | {counts['light']} | {malignant} |" in card.text
    assert "28 training images (8 others to validate)" in card.text
    assert "100 % by template" in card.text
    assert "phantoms, which are procedural drawings" in card.text
    assert 'pipeline("a benign lesion", guidance_scale=2.0, num_inference_steps=3)' in card.text
    for tone in ("all", "light", "brown", "dark"):
        assert re.search(rf"^\| {tone} \| [\d.]+ \| [\d.]+ \|$", card.text, re.MULTILINE)
    assert "in decibels: higher is better" in card.text
    assert "against the distance between two sets of real" in card.text
    assert "None" not in card.text


def test_a_text_encoder_of_another_width_is_refused(
    latents, text_embeddings, manifest, autoencoder, text_encoder, tmp_path
):
    wide = tmp_path / "wide"
    shutil.copytree(text_encoder.path, wide)
    config = CLIPTextConfig.from_pretrained(wide / "text_encoder")
    config.hidden_size = 16
    CLIPTextModel(config).save_pretrained(wide / "text_encoder")
    trained = _train_denoiser(latents, text_embeddings, manifest, autoencoder, tmp_path)
    with pytest.raises(UserError, match="embeddings of width 12, and the text encoder makes them of width 16"):
        _export(trained, autoencoder, ModelFolder(wide, "wide"), manifest, tmp_path)


def test_latents_cut_short_are_refused(latents, tmp_path):
    copy = tmp_path / "latents"
    shutil.copytree(latents.path, copy)
    with (copy / "moments.npy").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 100)
    with pytest.raises(UserError, match=r"must be whole\..*moments\.npy is not.*Delete"):
        LatentStack(Latents(copy, "cut short"))


def test_guidance_at_one_is_the_conditional_model(generator):
    pipeline = DermDiTPipeline.from_pretrained(generator.path)
    options = {"num_inference_steps": 2, "output_type": "latent"}
    drawn = [
        pipeline("dark", guidance_scale=scale, generator=torch.Generator().manual_seed(0), **options).images
        for scale in (1.0, 1.0 + 1e-9)
    ]
    assert torch.allclose(drawn[0], drawn[1], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_draws_nearly_the_same(generator, dtype):
    drawn = [
        DermDiTPipeline.from_pretrained(generator.path, dtype=precision)(
            ["dark", "malignant"], generator=torch.Generator().manual_seed(0), output_type="pt"
        ).images
        for precision in (dtype, torch.float32)
    ]
    assert drawn[0].dtype == torch.float32
    assert (drawn[0] - drawn[1]).abs().max() < 0.05


@pytest.fixture(scope="module")
def pipeline(generator):
    return DermDiTPipeline.from_pretrained(generator.path)


def _seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_folder_says_how_it_is_drawn_from(pipeline):
    said = pipeline("dark", generator=_seeded(0), output_type="pt").images
    asked = pipeline(
        "dark", guidance_scale=SAMPLER.guidance_scale, num_inference_steps=SAMPLER.num_inference_steps,
        generator=_seeded(0), output_type="pt",
    ).images  # fmt: skip
    assert torch.equal(said, asked)


def test_the_folder_keeps_the_interval_of_guidance(pipeline):
    assert list(pipeline.config.guidance_interval) == [0.0, 1.0]
    whole, part = (
        pipeline(
            "a lesion", guidance_scale=4.0, guidance_interval=interval, generator=_seeded(0), output_type="pt"
        ).images
        for interval in (None, (0.0, 0.3))
    )
    assert not torch.equal(whole, part)


def test_several_images_of_a_prompt_are_those_of_the_prompt_repeated(pipeline):
    options = {"generator": _seeded(0, 1, 2, 3), "output_type": "pt"}
    several = pipeline(["dark", "light"], num_images_per_prompt=2, **options).images
    options["generator"] = _seeded(0, 1, 2, 3)
    assert torch.equal(several, pipeline(["dark", "dark", "light", "light"], **options).images)


def test_a_negative_prompt_is_one_for_all_or_one_a_prompt(pipeline):
    def draw(negative):
        options = {"guidance_scale": 4.0, "generator": _seeded(0, 0), "output_type": "pt"}
        return pipeline(["dark", "dark"], negative_prompt=negative, **options).images

    none, one, each = draw(None), draw("malignant"), draw(["malignant", ""])
    assert not torch.allclose(none, one)
    assert torch.allclose(each[0], one[0], atol=1e-5)
    assert torch.allclose(each[1], none[1], atol=1e-5)


def test_arrays_are_what_tensors_are(pipeline):
    arrays, tensors = (pipeline("dark", generator=_seeded(0), output_type=kind).images for kind in ("np", "pt"))
    assert np.array_equal(arrays, tensors.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": []}, "at least one prompt. Got none"),
        ({"num_inference_steps": 0}, "num_inference_steps must be at least 1. Got 0"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt must be at least 1. Got 0"),
        ({"negative_prompt": ["a", "b"]}, r"one a prompt \(1\). Got 2"),
        ({"num_images_per_prompt": 2, "generator": _seeded(0)}, r"one generator an image \(2\). Got 1"),
        ({"output_type": "jpeg"}, "output_type must be one of pil, np, pt, latent. Got 'jpeg'"),
    ],
)
def test_a_call_that_cannot_be_is_refused(pipeline, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**{"prompt": "dark", **arguments})


def test_the_generator_folder_loads_in_a_fresh_process(generator):
    program = (
        "import sys; from dermdit_kedro.diffusion.sampler import DermDiTPipeline; "
        "pipeline = DermDiTPipeline.from_pretrained(sys.argv[1]); "
        "print(pipeline('dark', num_inference_steps=1).images[0].size)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(generator.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(16, 16)"
    assert "annotation" not in done.stderr, "diffusers knows the type of every argument"


def _sample(generator, plan, work_dir, sampler=SAMPLER):
    job = create_job(
        work_dir, "sample_images", "dermdit_kedro.diffusion.sample", config={"sampler": sampler},
        inputs={"generator": generator, "plan": plan},
    )  # fmt: skip
    launch(job, LaunchConfig())
    folder = job.handle(ImageFolder)
    from PIL import Image

    return {i: np.asarray(Image.open(folder.path / f"{i}.png")).astype(int) for i in folder.index()["image_id"]}


@pytest.fixture(scope="module")
def plan():
    return pd.DataFrame(
        {"sample_id": [f"s{i}" for i in range(6)], "prompt": ["malignant", "dark"] * 3, "seed": range(6)}
    )


def test_an_image_depends_on_its_row_alone(generator, plan, tmp_path):
    whole = _sample(generator, plan, tmp_path / "a")
    one_by_one = _sample(generator, plan.iloc[::-1], tmp_path / "b", SAMPLER.model_copy(update={"batch_size": 1}))
    assert set(whole) == set(plan["sample_id"])
    assert max(np.abs(whole[i] - one_by_one[i]).max() for i in whole) <= 1
    assert np.abs(whole["s0"] - whole["s2"]).max() > 0


def test_a_rerun_draws_what_is_missing_only(generator, plan, tmp_path):
    _sample(generator, plan, tmp_path)
    result = next(tmp_path.glob("sample_images-*/result"))
    before = {path.name: path.stat().st_mtime_ns for path in result.glob("*.png")}
    (result / "s3.png").unlink()
    (result / "_complete.json").unlink()
    _sample(generator, plan, tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in result.glob("*.png")}
    assert {name for name in after if after[name] != before[name]} == {"s3.png"}


def test_an_image_without_a_prompt_is_named(latents, text_embeddings, manifest, autoencoder, tmp_path):
    short = pd.read_parquet(text_embeddings.path / "index.parquet").iloc[1:]
    short.to_parquet(tmp_path / "index.parquet")
    fewer = type(text_embeddings)(tmp_path, "one prompt missing")
    with pytest.raises(UserError, match="1 have none, the first is '00'"):
        _train_denoiser(latents, fewer, manifest, autoencoder, tmp_path)


def test_an_autoencoder_that_cannot_be_loaded_names_the_parameter(images, manifest, tmp_path):
    config = AutoencoderConfig(pretrained=str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"autoencoder\.pretrained"):
        nodes.train_autoencoder(images, manifest, config, _training(), 16, 0, LaunchConfig(), tmp_path)


def test_a_given_autoencoder_is_adopted_with_its_scaling_factor(images, manifest, autoencoder, tmp_path):
    config = AutoencoderConfig(pretrained=str(autoencoder[0].path))
    folder, report = nodes.train_autoencoder(images, manifest, config, _training(), 16, 0, LaunchConfig(), tmp_path)
    assert report["scaling_factor"] == autoencoder[1]["scaling_factor"]
    assert load_autoencoder(folder.path).config.scaling_factor == report["scaling_factor"]


def test_a_decoder_trained_with_noise_undoes_more_of_it(images, manifest, autoencoder, tmp_path):
    training = _training(max_train_steps=60, learning_rate=5e-3, log_steps=20, checkpointing_steps=20)
    config = AUTOENCODER.model_copy(update={"latent_noise": 1.5})
    forgiving, _ = nodes.train_autoencoder(images, manifest, config, training, 16, 0, LaunchConfig(), tmp_path)
    stack = ImageStack(images, list(images.index()["file"]))
    seen = to_float(stack[list(range(len(stack)))])
    errors = []
    for folder in (forgiving, autoencoder[0]):
        model = load_autoencoder(folder.path)
        with torch.no_grad():
            code = model.encode(seen).latent_dist.mean
            noise = torch.randn(code.shape, generator=torch.Generator().manual_seed(0))
            errors.append((model.decode(code + noise).sample - seen).square().mean())
    assert errors[0] < 0.95 * errors[1]
