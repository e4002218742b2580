"""The same plan gives the same images, whatever the batch, however many processes, however often it is killed."""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.full_disk import fail_to_write

from dermdit_kedro.dermoscopy.images import read_rgb
from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.diffusion.sample import load_generator, main, sample_batch
from dermdit_kedro.diffusion.sampler import DermDiTPipeline
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.jobs import Job, create_job
from dermdit_kedro.launching import LaunchConfig, launch

CPU = LaunchConfig(device="cpu")
TWO = LaunchConfig(launcher="accelerate", num_processes=2, device="cpu")
PROMPTS = ("malignant", "dark", "malignant dark", "", "dark malignant malignant")
LARGEST_DIFFERENCE, EQUAL_SHARE = 2, 0.999


@pytest.fixture(scope="session", params=["random", pytest.param("trained", marks=pytest.mark.slow)])
def drawing(request, generator, root, tmp_path_factory) -> ModelFolder:
    """A generator whose every weight moves the image; the slow one is that of a finished run in `data/`."""
    if request.param == "trained":
        folder = root / "data" / "06_models" / "dermdit" / "generator"
        if not folder.is_dir():
            pytest.skip("no trained generator in data/06_models: `uv run kedro run --pipeline generative_training`")
        return ModelFolder(folder, "trained")
    folder = tmp_path_factory.mktemp("random")
    pipeline = DermDiTPipeline.from_pretrained(generator.path)
    torch.manual_seed(0)
    for part in (pipeline.denoiser, pipeline.vae):
        for weight in part.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    pipeline.save_pretrained(folder)
    return ModelFolder(folder, "random weights that matter")


@pytest.fixture
def count(request) -> int:
    """Images of a plan."""
    return 480 if "trained" in request.node.callspec.id else 40


def plan_of(count: int) -> pd.DataFrame:
    """Prompts of different lengths, so that their padding differs with the batch they are in."""
    rows = [{"sample_id": f"{i:04d}", "prompt": PROMPTS[i % len(PROMPTS)], "seed": 1000 + i} for i in range(count)]
    return pd.DataFrame(rows)


def sampling(work_dir: Path, drawing: ModelFolder, count: int, batch_size: int) -> Job:
    """The job of drawing a plan."""
    steps = 8 if drawing.fingerprint == "trained" else 40  # a small network must not be done before it is killed
    sampler = SamplerConfig(num_inference_steps=steps, guidance_scale=2.0, batch_size=batch_size)
    inputs = {"generator": drawing, "plan": plan_of(count)}
    return create_job(
        work_dir, "sample_images", "dermdit_kedro.diffusion.sample", config={"sampler": sampler}, inputs=inputs
    )


def pixels(job: Job, count: int) -> np.ndarray:
    """All images of a finished job, in the order of the plan, each of which is there once."""
    folder = job.handle(ImageFolder)
    assert sorted(folder.index()["image_id"]) == list(plan_of(count)["sample_id"])
    assert len(list(folder.path.glob("*.png"))) == count
    return np.stack([read_rgb(folder.path / f"{sample_id}.png") for sample_id in plan_of(count)["sample_id"]])


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Hold two sets of images to each other, pixel by pixel."""
    difference = np.abs(found.astype(int) - expected.astype(int))
    said = f"{(difference == 0).mean():.5f} of the pixels are equal, the largest difference is {difference.max()}"
    assert difference.max() <= LARGEST_DIFFERENCE, said
    assert (difference == 0).mean() >= EQUAL_SHARE, said


@pytest.fixture
def undisturbed(tmp_path, drawing, count) -> np.ndarray:
    """The images of one process, sixteen at a time."""
    job = sampling(tmp_path / "undisturbed", drawing, count, 16)
    launch(job, CPU)
    images = pixels(job, count)
    varied = images.reshape(count, -1).std(axis=0).mean()
    assert varied > 3, "images that are all alike prove nothing"
    return images


def test_an_image_depends_on_neither_its_batch_nor_its_process(tmp_path, drawing, count, undisturbed):
    for batch_size, launching in ((1, CPU), (4, TWO)):
        job = sampling(tmp_path / f"batches of {batch_size}", drawing, count, batch_size)
        launch(job, launching)
        assert_same(pixels(job, count), undisturbed)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_and_draws_nothing_twice(tmp_path, drawing, count, undisturbed, kills):
    job = sampling(tmp_path / "killed", drawing, count, 2)
    command = [sys.executable, "-c", _CHILD, str(job.folder)]
    draw, drawn = random.Random(0), {}
    for kill in range(kills):
        process = subprocess.Popen(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
        more = draw.randint(1, max(1, (count - len(drawn)) // (kills + 1 - kill)))
        while process.poll() is None and len(list(job.result.glob("*.png"))) < len(drawn) + more:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        there = {path.name: path.stat().st_mtime_ns for path in job.result.glob("*.png")}
        assert all(read_rgb(job.result / name).ndim == 3 for name in there), "no half-written image"
        assert drawn.items() <= there.items(), "what was drawn is not drawn again"
        assert len(there) > len(drawn) or job.is_complete
        drawn = there
    assert len(drawn) < count, "the last kill came before the end"
    main(job)
    assert_same(pixels(job, count), undisturbed)


_FILL = """
import dermdit_kedro.diffusion.sample as sample
write = sample.write_png
def write_six(path, image):
    if path.stem == "0006": fill(30)
    write(path, image)
sample.write_png = write_six
"""

_CHILD = """
import sys, pathlib
from dermdit_kedro.diffusion.sample import main
from dermdit_kedro.jobs import Job
main(Job(pathlib.Path(sys.argv[1])))
"""


def test_a_folder_that_lacks_a_part_is_refused_by_name(tmp_path, generator):
    for part in ("vae", "tokenizer", "scheduler"):
        folder = shutil.copytree(generator.path, tmp_path / part)
        shutil.rmtree(folder / part)
        with pytest.raises(UserError, match=f"must hold model_index.json and .* lacks {part}: run"):
            load_generator(ModelFolder(folder, part), SamplerConfig(), torch.device("cpu"))
    with pytest.raises(UserError, match=r"lacks model_index\.json"):
        load_generator(ModelFolder(tmp_path, "nothing"), SamplerConfig(), torch.device("cpu"))


def test_what_the_text_encoder_does_not_read_is_said(tmp_path, generator, caplog):
    plan = plan_of(4)
    plan["prompt"] = "dark"
    plan.loc[[1, 3], "prompt"] = "malignant dark " * 6
    inputs = {"generator": generator, "plan": plan}
    sampler = SamplerConfig(num_inference_steps=1)
    job = create_job(
        tmp_path, "sample_images", "dermdit_kedro.diffusion.sample", config={"sampler": sampler}, inputs=inputs
    )
    with caplog.at_level(logging.WARNING, "dermdit_kedro"):
        launch(job, CPU)
    (said,) = [record.getMessage() for record in caplog.records if "longer than" in record.getMessage()]
    assert said.startswith("2 prompts are longer than the 8 tokens")
    assert "0001" in said
    assert "it reads up to 'malignant" in said
    assert len(job.handle(ImageFolder).index()) == 4


def test_a_full_disk_keeps_what_was_drawn(tmp_path, generator):
    job = sampling(tmp_path, generator, 40, 2)
    told = fail_to_write(job.folder, _FILL)
    assert "could not write" in told
    assert "File too large" in told
    there = {path.name: path.stat().st_mtime_ns for path in job.result.iterdir()}
    assert sorted(there) == [f"{i:04d}.png" for i in range(6)]
    launch(job, CPU)
    assert there.items() <= {path.name: path.stat().st_mtime_ns for path in job.result.iterdir()}.items()
    assert len(job.handle(ImageFolder).index()) == 40


def test_half_precision_moves_pixels_and_no_picture(tmp_path, drawing):
    pictures = {}
    for dtype in ("float32", "bfloat16"):
        sampler = SamplerConfig(num_inference_steps=4, dtype=dtype)
        pipeline = load_generator(drawing, sampler, torch.device("cpu"))
        assert {part.dtype for part in (pipeline.denoiser, pipeline.vae)} == {getattr(torch, dtype)}
        pictures[dtype] = sample_batch(pipeline, plan_of(4), sampler).float()
    difference = (pictures["float32"] - pictures["bfloat16"]).abs()
    assert 0 < difference.mean() < 6
