"""How soon is a generator good? Fréchet distance to held-out real images over minutes of training, recipe by recipe.

`uv run python tests/benchmarks/time_to_quality.py` (or `make time-to-quality`) compares the recipe of `conf/ham10000`
with the prior one (noise prediction, one pooled token, batch 16, learning rate 1e-4, moving average .9999) on the same
latents and prompts, at the same capacity. With `all --minutes 5 --split val` it makes the table by which the recipe
was chosen; what it is compared with then is not what the recipe was chosen on.

Every recipe is trained by the project's trainer; the clock counts training alone, in
the time its threads worked, so that what else runs on the machine does not count. At the given minutes the averaged
weights are kept, and from each of them images are drawn for the prompts of held-out images. A command that was killed
goes on where it was. Table, curves and grids of samples go to `08_reporting/time_to_quality/` of the environment.
"""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from quality_table import compare, draw_curves, say
from recipes import RECIPES, Recipe, read_recipe

from dermdit_kedro.atomic import atomic_folder, write_json
from dermdit_kedro.dermoscopy.images import (
    ImageStack,
    build_image_index,
    contact_sheet,
    read_rgb,
    to_uint8,
    write_png,
)
from dermdit_kedro.diffusion.denoisers import build_denoiser
from dermdit_kedro.diffusion.export import load_denoiser
from dermdit_kedro.diffusion.latents import LatentStack
from dermdit_kedro.diffusion.objective import Objective
from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.diffusion.reconstruction import reconstruct
from dermdit_kedro.diffusion.sampler import DermDiTPipeline
from dermdit_kedro.diffusion.schedulers import build_scheduler
from dermdit_kedro.diffusion.train import DenoisingData, denoising_losses
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, Latents, ModelFolder, TextEmbeddings
from dermdit_kedro.jobs import Job, create_job
from dermdit_kedro.launching import LaunchConfig, launch, sole_owner
from dermdit_kedro.metrics.extraction import extract_features
from dermdit_kedro.metrics.feature_distances import frechet_distance
from dermdit_kedro.metrics.parameters import ExtractorConfig
from dermdit_kedro.prompts.clip import load_text_encoder
from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.streams import Batch

logger = logging.getLogger("dermdit_kedro.time_to_quality")

PROMPTS = "five_attributes"
NEEDED = (
    "manifest", "images", "autoencoder", "latents", "text_encoder", f"{PROMPTS}.prompts", f"{PROMPTS}.text_embeddings"
)  # fmt: skip
GRID = 12
"""Samples in a row of the grid."""


@dataclass(frozen=True)
class Project:
    """What the environment's own pipelines have made, and its parameters."""

    inputs: dict[str, Any]
    parameters: dict[str, Any]
    work_dir: Path
    reporting: Path


@dataclass(frozen=True)
class Snapshot:
    """Averaged weights after some minutes of training."""

    folder: Path
    key: str
    mark: float
    minutes: float
    step: int


class TimeIsUp(Exception):
    """The last minute has passed."""


def open_project(env: str, needed: Sequence[str] = NEEDED) -> Project:
    """Open the Kedro project in the working directory, with what is needed of its catalog."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(Path.cwd())
    with KedroSession.create(project_path=Path.cwd(), env=env) as session:
        context = session.load_context()
        catalog, parameters = context.catalog, context.config_loader["parameters"]
        missing = [name for name in needed if not catalog.exists(name)]
        if missing:
            outputs = ",".join(needed)
            raise UserError(
                f"{', '.join(missing)} must be there first. Run `kedro run --env {env} --only-missing-outputs "
                f"--to-outputs {outputs}`"
            )
        inputs = {name: catalog.load(name) for name in needed}
        reporting = Path(context.config_loader["globals"]["paths"]["data"]) / "08_reporting" / "time_to_quality"
        reporting.mkdir(parents=True, exist_ok=True)
        return Project(inputs, parameters, catalog.load("work_dir"), reporting)


def train(project: Project, recipe: Recipe, marks: Sequence[float], seed: int) -> list[Snapshot]:
    """Train until the last mark; keep the averaged weights at each. What is there already is not made again."""
    latents, embeddings = project.inputs["latents"], project.inputs[f"{PROMPTS}.text_embeddings"]
    rows = latents.index().rename(columns={"row": "latent_row"})
    rows = rows.merge(embeddings.index().rename(columns={"row": "text_row"}), on="image_id", validate="one_to_one")
    rows = rows.merge(project.inputs["manifest"], on="image_id", validate="one_to_one")
    examples = rows.loc[rows["split"] == "train", ["latent_row", "text_row", "tone_group"]]
    config = {"denoiser": recipe.denoiser, "objective": recipe.objective, "training": recipe.training, "seed": seed}
    inputs = {"latents": latents, "text_embeddings": embeddings, "examples": examples}
    job = create_job(project.work_dir, "time_to_quality.train", "time_to_quality", config=config, inputs=inputs)
    if not all(_folder(job, mark).is_dir() for mark in marks):
        with sole_owner(job), suppress(TimeIsUp):
            _fit(job, recipe, marks, seed, examples)
    snapshots = []
    for mark in marks:
        found = json.loads((_folder(job, mark) / "snapshot.json").read_text())
        snapshots.append(Snapshot(_folder(job, mark), f"{job.key}/{found['step']}", mark, **found))
    return snapshots


def _clock() -> float:
    """Return seconds of this process's work: what a clock would say if nothing else ran on the machine."""
    return time.process_time() / torch.get_num_threads()


def _folder(job: Job, mark: float) -> Path:
    return job.result / f"minutes_{mark:g}"


def _fit(job: Job, recipe: Recipe, marks: Sequence[float], seed: int, examples: pd.DataFrame) -> None:
    latents, objective = LatentStack(job.input("latents", Latents)), Objective(recipe.objective)
    prompts = job.input("text_embeddings", TextEmbeddings).tensors()
    data = DenoisingData(latents, prompts, examples, torch.device("cpu"))
    torch.manual_seed(stable_seed(seed, "denoiser"))
    channels, side, _ = latents.shape
    model = build_denoiser(recipe.denoiser, side, channels, prompts[0].shape[-1], recipe.objective.learn_sigma)
    passed = {int(line["step"]): line["validation_minutes"] for line in job.metrics() if "validation_minutes" in line}
    minutes, since, step = 0.0, None, 0

    def loss(model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        nonlocal minutes, since, step
        if since is None:  # the first step of this process, or the first after a look at the clock
            minutes, since = (passed[batch.step] if batch.step and not step else minutes), _clock()
        step = batch.step + 1
        mirrored = batch.rand(1)[:, 0] < 0.5
        z = latents.sample(data.latent_rows[batch.indices], mirrored, batch.randn(*latents.shape))
        dropped = batch.rand(1)[:, 0] < recipe.objective.prompt_dropout
        noise, timestep = batch.randn(*latents.shape), batch.randn(1)[:, 0]
        losses = denoising_losses(model, objective, z, noise, timestep, data.prompts(batch.indices, dropped))
        return {"loss": losses.mean()}

    def look(model: Any) -> dict[str, float]:
        nonlocal minutes, since
        late = [mark for mark in marks if mark <= minutes and not _folder(job, mark).is_dir()]
        if late:
            raise UserError(f"marks must be ahead of what was trained already. Got {late[0]:g}. Delete {job.folder}")
        minutes, since = minutes + (_clock() - since) / 60, None
        for mark in marks:
            if minutes >= mark and not _folder(job, mark).is_dir():
                logger.info("%s: %.2f minutes, step %d", recipe.name, minutes, step)
                with atomic_folder(_folder(job, mark)) as aside:
                    model.save_pretrained(aside / "denoiser")
                    write_json(aside / "snapshot.json", {"minutes": minutes, "step": step})
        if minutes >= max(marks):
            raise TimeIsUp
        return {"minutes": minutes}

    fit(job, model, loss, num_examples=len(data), training=recipe.training, seed=seed, what=recipe.name, validate=look)


def sample(
    project: Project, recipe: Recipe, snapshot: Snapshot, sampler: SamplerConfig, plan: pd.DataFrame
) -> ImageFolder:
    """Draw the images of a plan."""
    folder = snapshot.folder / f"generator_{sampler.scheduler}"
    if not folder.is_dir():
        text_encoder, tokenizer = load_text_encoder(project.inputs["text_encoder"].path)
        pipeline: Any = DermDiTPipeline(
            denoiser=load_denoiser(snapshot.folder / "denoiser", recipe.denoiser),
            vae=load_autoencoder(project.inputs["autoencoder"].path),
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=build_scheduler(recipe.objective, sampler),
            conditional=recipe.denoiser.conditional,
        )
        with atomic_folder(folder) as aside:
            pipeline.save_pretrained(aside)
    inputs = {"generator": ModelFolder(folder, f"{snapshot.key}/{sampler.scheduler}"), "plan": plan}
    job = create_job(
        project.work_dir, "time_to_quality.sample", "dermdit_kedro.diffusion.sample", config={"sampler": sampler},
        inputs=inputs,
    )  # fmt: skip
    launch(job, LaunchConfig())
    return job.handle(ImageFolder)


def pass_through(project: Project, files: pd.DataFrame) -> ImageFolder:
    """Encode and decode real images: as good as a perfect denoiser could be."""
    images, folder = project.inputs["images"], project.inputs["autoencoder"]
    inputs = {"images": images, "autoencoder": folder, "files": files}
    job = create_job(project.work_dir, "time_to_quality.pass_through", "time_to_quality", config={}, inputs=inputs)
    if not job.is_complete:
        autoencoder: Any = load_autoencoder(folder.path)
        stack, names = ImageStack(images, list(files["file"])), list(files["file"])
        for rows in torch.arange(len(stack)).split(32):
            for row, image in zip(rows.tolist(), to_uint8(reconstruct(autoencoder, stack[rows])), strict=True):
                (job.result / names[row]).parent.mkdir(parents=True, exist_ok=True)
                write_png(job.result / names[row], image.permute(1, 2, 0).numpy())
        build_image_index(job.result)
        job.complete()
    return job.handle(ImageFolder)


class Judge:
    """Distances to held-out real images, as they are and through the autoencoder, with those between real images."""

    def __init__(self, project: Project, split: str, num_images: int, seed: int) -> None:
        self.project, self.extractor = project, ExtractorConfig(**project.parameters["extractor"])
        manifest, images = project.inputs["manifest"], project.inputs["images"].index()[["image_id", "file"]]
        other = {"test": "val", "val": "test"}[split]
        held_out = {name: manifest.loc[manifest["split"] == name, "image_id"].sort_values() for name in (split, other)}
        self.n = min(num_images, *map(len, held_out.values()))
        parts = {name: ids.sample(self.n, random_state=seed) for name, ids in held_out.items()}
        files = {name: images.set_index("image_id").loc[ids].reset_index() for name, ids in parts.items()}
        prompts = project.inputs[f"{PROMPTS}.prompts"].set_index("image_id")["prompt"].loc[parts[split]]
        ids = [f"{i:05d}" for i in range(self.n)]
        seeds = [stable_seed(seed, "time to quality", i) for i in range(self.n)]
        self.image_ids = list(parts[split])
        self.plan = pd.DataFrame({"sample_id": ids, "prompt": prompts.to_numpy(), "seed": seeds})
        self.real, self.floor = {}, {}
        for way, folder in (("through_autoencoder", pass_through), ("as_they_are", None)):
            features = {
                name: self.features(folder(project, part) if folder else project.inputs["images"], part)
                for name, part in files.items()
            }
            self.real[way], self.floor[way] = features[split], frechet_distance(features[split], features[other])
        blurred = [self.features(pass_through(project, files[split]), files[split]), self.real["as_they_are"]]
        self.autoencoder = frechet_distance(*blurred)

    def features(self, folder: ImageFolder, files: pd.DataFrame) -> np.ndarray:
        """Return the features of some images of a folder."""
        name = "time_to_quality.features"
        found = extract_features(self.project.work_dir, name, folder, files, self.extractor, LaunchConfig())
        return np.asarray(found.array())

    def distances(self, folder: ImageFolder) -> dict[str, float]:
        """Return both distances of drawn images."""
        features = self.features(folder, folder.index()[["image_id", "file"]])
        return {way: frechet_distance(real, features) for way, real in self.real.items()}


def measure(
    project: Project, names: Sequence[str], marks: Sequence[float], seeds: int, num_images: int, split: str
) -> dict[str, Any]:
    """Train, draw and measure; write table, curves and grids.

    Args:
        project: Where everything is.
        names: Of `RECIPES`.
        marks: Minutes of training, rising.
        seeds: How many trainings of each recipe.
        num_images: Images drawn at each mark, at most as many as are held out.
        split: Held-out images to compare with; the other held-out split gives the floor.

    Returns:
        What is written as JSON.
    """
    judge, rows = Judge(project, split, num_images, 0), []
    for recipe in (read_recipe(project.parameters, name) for name in names):
        for seed in range(seeds):
            grid = []
            for snapshot in train(project, recipe, marks, seed):
                for sampler in recipe.samplers if snapshot.mark == marks[-1] else recipe.samplers[:1]:
                    folder = sample(project, recipe, snapshot, sampler, judge.plan)
                    found = {"recipe": recipe.name, "seed": seed, "mark": snapshot.mark, "minutes": snapshot.minutes}
                    found |= {"steps": snapshot.step, "sampler": f"{sampler.scheduler} {sampler.num_inference_steps}"}
                    rows.append({**found, **judge.distances(folder)})
                    grid += [read_rgb(folder.path / f"{i}.png") for i in judge.plan["sample_id"][:GRID]]
                    logger.info("%s", rows[-1])
            contact_sheet(grid, min(GRID, judge.n), 64).save(project.reporting / f"samples_{recipe.name}_{seed}.png")
    table, stem = pd.DataFrame(rows), f"{split}_{'_'.join(names)}"[:100]
    summary = {
        "split": split, "n": judge.n, "extractor": judge.extractor.model_dump(), "threads": torch.get_num_threads(),
        "cpu": torch.cpu.get_capabilities()["cpu_name"], "torch": torch.__version__, "floor": judge.floor,
        "autoencoder": judge.autoencoder, "rows": rows,
        "chosen_against_prior": {way: compare(table, way) for way in judge.floor},
    }  # fmt: skip
    write_json(project.reporting / f"{stem}.json", summary)
    draw_curves(table, judge.floor, project.reporting / f"{stem}.png")
    return summary


def main() -> None:
    """Read the command line, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["chosen", "prior"], help=f"`all`, or of {', '.join(RECIPES)}")
    parser.add_argument("--env", default="ham10000")
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 2.5, 5.0, 10.0, 20.0])
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--num-images", type=int, default=1000)
    parser.add_argument("--split", choices=("test", "val"), default="test", help="held-out images to compare with")
    options = parser.parse_args()
    names = list(RECIPES) if "all" in options.recipes else options.recipes
    if unknown := sorted(set(names) - set(RECIPES)):
        parser.error(f"recipes must be of {', '.join(RECIPES)}. Got {', '.join(unknown)}")
    try:
        project = open_project(options.env)
    except UserError as error:
        parser.exit(1, f"{error}\n")
    marks = sorted(options.minutes)
    print(say(measure(project, names, marks, options.seeds, options.num_images, options.split)))  # noqa: T201


if __name__ == "__main__":
    main()
