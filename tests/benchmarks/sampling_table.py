"""What do steps, scheduler and guidance cost, and what do they do to the images? One row a way of drawing.

`uv run python tests/benchmarks/sampling_table.py --env base flow_euler:20:1.5 flow_dpm_solver:8:1.5:0.3-0.9`: each way
is scheduler:steps:scale and, where guidance is not on all steps, their share. All draw the same prompts, those of
held-out images, from the same seeds with the environment's generator (or `--generator <folder>`), and are measured:

- calls: rows that the denoiser computes for an image; seconds: its time for an image, on one thread;
- distance: Fréchet distance to the held-out images (of other held-out ones in the last row); through: to them passed
  through the autoencoder, which judges the denoiser alone;
- tone, label, kept: share with the tone, the label asked for, as the screens see them, and with neither these nor
  another reason to be set aside; means over tone x label groups of at least ten images; of real ones in the last row;
- ITA: median of the images asked for in each tone; MS-SSIM of pairs: lower is more varied.

A command that was killed goes on where it was. The table goes to `08_reporting/sampling_table/` of the environment.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from time_to_quality import NEEDED, Judge, Project, open_project

from dermdit_kedro.atomic import write_json
from dermdit_kedro.augmentation.evidence import Candidates, gather_evidence, look_at_training_images
from dermdit_kedro.augmentation.parameters import ScreeningConfig
from dermdit_kedro.augmentation.screening import asked_of_real
from dermdit_kedro.augmentation.screens import accusations, calibrate, give_reasons, halve
from dermdit_kedro.dermoscopy.images import ImageStack, contact_sheet, read_rgb
from dermdit_kedro.dermoscopy.records import TONE_GROUPS
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig
from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.diffusion.sample import load_generator, sample_batch
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.metrics.extraction import extract_features
from dermdit_kedro.metrics.image_quality import ms_ssim_diversity
from dermdit_kedro.metrics.parameters import ImageQualityConfig

logger = logging.getLogger("dermdit_kedro.sampling_table")

GENERATOR = "dermdit.generator"
LEAST = 10
"""Images that a group needs to count in a mean."""
GRID = 12
MEANS = {"tone": "hit", "label": "hit", "kept": "share"}


def read_way(text: str) -> SamplerConfig:
    """Read scheduler:steps:scale[:begin-end]."""
    scheduler, steps, scale, *interval = text.split(":")
    begin, end = (float(share) for share in interval[0].split("-")) if interval else (0.0, 1.0)
    return SamplerConfig(
        scheduler=scheduler,  # type: ignore[arg-type]
        num_inference_steps=int(steps),
        guidance_scale=float(scale),
        guidance_interval=(begin, end),
    )


def costs(generator: ModelFolder, plan: pd.DataFrame, ways: Sequence[SamplerConfig]) -> list[tuple[float, float]]:
    """Return calls and seconds of the denoiser for an image, a way at a time in each of three rounds."""
    rows, seconds = plan.head(16), np.zeros((3, len(ways)))
    calls = np.zeros(len(ways))
    for turn in range(3):
        for i, way in enumerate(ways):
            pipeline = load_generator(generator, way, torch.device("cpu"))
            forward = pipeline.denoiser.forward

            def timed(
                sample: Any, *args: Any, _turn: int = turn, _i: int = i, _plain: Any = forward, **others: Any
            ) -> Any:
                since = time.process_time()
                found = _plain(sample, *args, **others)
                seconds[_turn, _i] += (time.process_time() - since) / torch.get_num_threads() / len(rows)
                calls[_i] += len(sample) / len(rows) / len(seconds)
                return found

            pipeline.denoiser.forward = timed
            sample_batch(pipeline, rows, way)
    return [(float(count), float(value)) for count, value in zip(calls, np.median(seconds, axis=0), strict=True)]


class Meter:
    """What is measured of images, drawn or real, that ought to show the same."""

    def __init__(self, project: Project, judge: Judge) -> None:
        self.project, self.judge = project, judge
        self.screening = ScreeningConfig(**project.parameters["screening"])
        self.skin_tone = SkinToneConfig(**project.parameters["data_engineering"].get("skin_tone", {}))
        self.quality = ImageQualityConfig(**project.parameters.get("image_quality", {}))
        self.images, self.manifest = project.inputs["images"], project.inputs["manifest"]
        hash_size = self.screening.memorisation.hash_size
        self.train = look_at_training_images(
            self.images, self._files("train"), project.inputs["train_features"], hash_size
        )
        val = asked_of_real(self.manifest, self._files("val"))
        real, _ = self._evidence(self.images, val)
        self.thresholds = calibrate(real[halve(real["duplicate_cluster"])], self.screening)

    def _files(self, split: str) -> pd.DataFrame:
        rows = self.manifest.loc[self.manifest["split"] == split, ["image_id"]]
        return rows.merge(self.images.index()[["image_id", "file"]], on="image_id", validate="one_to_one")

    def _evidence(self, images: ImageFolder, asked: pd.DataFrame) -> tuple[pd.DataFrame, Any]:
        features = extract_features(
            self.project.work_dir, "sampling_table.features", images, asked[["image_id", "file"]],
            self.judge.extractor, LaunchConfig(),
        )  # fmt: skip
        candidates, classifier = Candidates(images, asked, features), self.project.inputs["screening_classifier"]
        return gather_evidence(candidates, self.train, classifier, self.screening, self.skin_tone)

    def measure(self, images: ImageFolder, files: Sequence[str], image_ids: Sequence[str]) -> dict[str, Any]:
        """Return shares of tones and labels as asked for and of images kept, the tones' median ITA, and MS-SSIM."""
        asked = asked_of_real(self.manifest, pd.DataFrame({"image_id": self.judge.image_ids, "file": files}))
        seen, hashes = self._evidence(images, asked.assign(image_id=image_ids))
        label, tone = seen["requested_is_malignant"].astype(bool), seen["requested_tone_group"]
        accused = accusations(seen, self.thresholds)
        seen["label_hit"], seen["tone_hit"] = (seen["malignancy_margin"] >= 0) == label, seen["tone_group"] == tone
        seen["kept_share"] = give_reasons(accused, hashes, self.thresholds).isna()
        groups = ["requested_tone_group", "requested_is_malignant"]
        known = seen[tone.isin(TONE_GROUPS)].groupby(groups).filter(lambda group: len(group) >= LEAST)
        means = known.groupby(groups)[["tone_hit", "label_hit", "kept_share"]].mean()
        by_tone = known.groupby("requested_tone_group")
        alike = ms_ssim_diversity(
            ImageStack(images, list(files)).__getitem__, len(files), int(self.project.parameters["image_size"]),
            self.quality, seed=0,
        )  # fmt: skip
        return {
            **{name: float(means[f"{name}_{kind}"].mean()) for name, kind in MEANS.items()},
            "kept_by_tone": by_tone["kept_share"].mean().to_dict(),
            "ita": by_tone["ita_degrees"].median().to_dict(),
            "ms_ssim": alike and alike["value"],
        }


def measure(
    project: Project, generator: ModelFolder, ways: Sequence[str], split: str, num_images: int
) -> dict[str, Any]:
    """Draw and measure.

    Args:
        project: Where everything is.
        generator: What draws.
        ways: Of drawing, as `read_way` reads them.
        split: Held-out images whose prompts are drawn and to which the distance is measured.
        num_images: How many, at most as many as are held out.

    Returns:
        What is written as JSON.
    """
    judge = Judge(project, split, num_images, 0)
    meter, rows, grid = Meter(project, judge), [], []
    samplers = [read_way(way) for way in ways]
    for way, sampler, (calls, seconds) in zip(ways, samplers, costs(generator, judge.plan, samplers), strict=True):
        job = create_job(
            project.work_dir, "sampling_table.sample", "dermdit_kedro.diffusion.sample", config={"sampler": sampler},
            inputs={"generator": generator, "plan": judge.plan},
        )  # fmt: skip
        launch(job, LaunchConfig())
        images, files = job.handle(ImageFolder), [f"{sample_id}.png" for sample_id in judge.plan["sample_id"]]
        distances = judge.distances(images)
        found = meter.measure(images, files, list(judge.plan["sample_id"]))
        rows.append({"way": way, "calls": calls, "seconds": seconds, **distances, **found})
        logger.info("%s", rows[-1])
        grid += [read_rgb(images.path / file) for file in files[:GRID]]
    real = project.inputs["images"]
    own = real.index().set_index("image_id").loc[judge.image_ids, "file"].tolist()
    rows.append({"way": "real images", **judge.floor, **meter.measure(real, own, judge.image_ids)})
    grid += [read_rgb(real.path / file) for file in own[:GRID]]
    target = project.reporting.parent / "sampling_table"
    target.mkdir(exist_ok=True)
    contact_sheet(grid, min(GRID, judge.n), 64).save(target / "samples.png")
    return {"n": judge.n, "split": split, "rows": rows}


def say(summary: dict[str, Any]) -> str:
    """Return the table."""
    tones = [tone for tone in TONE_GROUPS if tone in summary["rows"][-1]["ita"]]
    heads = ["way", "calls", "seconds", "distance", "through", *MEANS, *(f"kept {tone}" for tone in tones)]
    heads += [*(f"ITA {tone}" for tone in tones), "MS-SSIM"]
    lines = [f"n = {summary['n']} of the {summary['split']} split", "", f"| {' | '.join(heads)} |"]
    lines.append("|---" * len(heads) + "|")
    for row in summary["rows"]:
        cost = [f"{row['calls']:.0f}", f"{row['seconds']:.4f}"] if "calls" in row else ["", ""]
        distances = [f"{row[way]:.0f}" for way in ("as_they_are", "through_autoencoder")]
        shares = [f"{row[name]:.3f}" for name in MEANS] + [f"{row['kept_by_tone'][tone]:.3f}" for tone in tones]
        itas = [f"{row['ita'][tone]:.0f}" for tone in tones]
        lines.append(
            f"| {' | '.join([row['way'], *cost, *distances, *shares, *itas, format(row['ms_ssim'], '.3f')])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ways", nargs="+", metavar="scheduler:steps:scale[:begin-end]")
    parser.add_argument("--env", default="base")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--num-images", type=int, default=480)
    parser.add_argument("--generator", type=Path, help="a generator folder; by default the environment's own")
    parser.add_argument("--name", default="table", help="of the files that are written")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    project = open_project(asked.env, (*NEEDED, "screening_classifier", "train_features", GENERATOR))
    given = asked.generator and ModelFolder(asked.generator.resolve(), str(asked.generator.resolve()))
    summary = measure(project, given or project.inputs[GENERATOR], asked.ways, asked.split, asked.num_images)
    target = project.reporting.parent / "sampling_table"
    write_json(target / f"{asked.name}.json", summary)
    (target / "samples.png").replace(target / f"{asked.name}.png")
    (target / f"{asked.name}.md").write_text(say(summary) + "\n")
    sys.stdout.write(say(summary) + "\n")


if __name__ == "__main__":
    main()
