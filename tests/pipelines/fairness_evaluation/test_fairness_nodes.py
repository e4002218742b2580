"""The nodes as plain functions, one after the other, on images whose truth is known."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.diagnosis.classifier import read_cards
from dermdit_kedro.diagnosis.parameters import ArmConfig, EvaluationConfig
from dermdit_kedro.diffusion.autoencoder import build_autoencoder
from dermdit_kedro.diffusion.parameters import AutoencoderConfig
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.metrics.parameters import ExtractorConfig, GroupFairnessConfig, ImageQualityConfig
from dermdit_kedro.pipelines.fairness_evaluation.autoencoder_nodes import measure_autoencoder
from dermdit_kedro.pipelines.fairness_evaluation.further_nodes import score_by_further_networks
from dermdit_kedro.pipelines.fairness_evaluation.image_nodes import (
    extract_features,
    extract_real_features,
    score_images,
    train_inception,
)
from dermdit_kedro.pipelines.fairness_evaluation.nodes import (
    compare_arms,
    join_table2,
    predict,
    score_diagnosis,
    score_fairness,
    train_classifier,
    write_verdict,
)
from dermdit_kedro.report.parameters import ReportConfig

EXTRACTOR = ExtractorConfig(name="efficientnet_lite0", image_size=32)
QUALITY = ImageQualityConfig(num_pairs=20, min_group_images=4)
FAIRNESS = GroupFairnessConfig(min_positive=3, min_negative=3, num_resamples=100, num_permutations=19)
ARMS = {
    "real": ArmConfig(),
    "synthetic": ArmConfig(real=False, synthetic=True),
    "real_plus_synthetic": ArmConfig(synthetic=True),
    "real_oversampled": ArmConfig(oversample=True),
    "real_group_thresholds": ArmConfig(threshold_by="tone_group"),
}


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def run(work_dir):
    return {"launch_config": LaunchConfig(), "work_dir": work_dir}


@pytest.fixture(scope="module")
def arm(
    request,
    run,
    easy_images,
    easy_manifest,
    easy_synthetic_images,
    easy_synthetic_manifest,
    architecture,
    classifier_training,
):
    def train(name, training=classifier_training):
        return train_classifier(
            easy_images, easy_manifest, easy_synthetic_images, easy_synthetic_manifest, ARMS[name], architecture,
            training, image_size=32, seed=0, arm_name=name, **run,
        )  # fmt: skip

    return train


@pytest.fixture(scope="module")
def judge(arm):
    return arm("real")


@pytest.fixture(scope="module")
def predictions(judge, easy_images, easy_manifest, architecture):
    return predict(judge, easy_images, easy_manifest, architecture, EvaluationConfig(), "real")


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_takes_the_same_number_of_steps(name, arm, work_dir, classifier_training):
    arm(name, classifier_training.model_copy(update={"epochs": 1, "num_seeds": 1}))
    jobs = [
        json.loads(path.read_text())
        for path in work_dir.glob(f"train_classifier.{ARMS[name].training_set}.seed_0-*/job.json")
    ]
    assert 4 in {job["config"]["training"]["max_train_steps"] for job in jobs}


def test_the_arm_real_does_not_depend_on_synthetic_images(judge, work_dir):
    job = json.loads(next(work_dir.glob("train_classifier.real.seed_0-*/job.json")).read_text())
    assert set(job["inputs"]) == {"images", "examples"}


def test_an_arm_has_a_classifier_a_seed(judge):
    assert [card.seed for card in read_cards(judge)] == [0, 1]


def test_an_arm_that_only_decides_otherwise_trains_nothing(arm, judge, work_dir):
    before = {path: path.stat().st_mtime_ns for path in work_dir.glob("*/metrics.jsonl")}
    assert arm("real_group_thresholds") == judge
    assert {path: path.stat().st_mtime_ns for path in work_dir.glob("*/metrics.jsonl")} == before


def test_arms_are_compared_and_judged(predictions):
    """The second arm's scores are noise; with two trainings alone that could not be told."""
    three = pd.concat([predictions, predictions[predictions["seed"] == 0].assign(seed=2)])
    noise = np.random.default_rng(0).random(len(three))
    other = three.assign(arm="synthetic", score=three["score"].where(three["split"] == "val", noise))
    tables = {"real": three, "synthetic": other}
    parts = {f"{name}.predictions": table for name, table in tables.items()}
    found = compare_arms(FAIRNESS, ReportConfig(), **parts, **{f"{name}.arm": ARMS["real"] for name in tables})
    assert found["accuracy"]["held_out"]["synthetic"]["overall"]["auc"]["value"] < -0.2
    scored = {
        f"{name}.{kind}": node(table, ARMS["real"], FAIRNESS, seed=0)
        for name, table in tables.items()
        for kind, node in (("diagnosis_metrics", score_diagnosis), ("group_fairness", score_fairness))
    }
    verdict = write_verdict(found, **scored)
    assert {found["test_set"] for found in verdict["verdicts"]} == {"held_out", "easy_test"}
    table = join_table2(
        ReportConfig(), found, **{name: part for name, part in scored.items() if name.endswith("diagnosis_metrics")}
    )
    assert len(table) == 2 * 2 * 4
    json.dumps(verdict, allow_nan=False)


def test_predictions_become_metrics_of_every_test_set(predictions):
    diagnosis = score_diagnosis(predictions, ARMS["real"], FAIRNESS, seed=0)
    assert set(diagnosis["test_sets"]) == {"held_out", "easy_test"}
    assert diagnosis["test_sets"]["held_out"]["overall"]["auc"]["value"] > 0.9
    fairness = score_fairness(predictions, ARMS["real"], FAIRNESS, seed=0)
    light = fairness["attributes"]["tone_group"]["held_out"]["groups"]["light"]
    assert light["auc"] == diagnosis["test_sets"]["held_out"]["tone_group"]["light"]["auc"]
    json.dumps([diagnosis, fairness], allow_nan=False)


def further_networks(inception, work_dir):
    """One that is there, one that is not, and one that is asked anyway."""
    weights = work_dir / "further.safetensors"
    tensors = load_file(inception.path / "seed_0" / "model.safetensors")
    save_file({name: value for name, value in tensors.items() if not name.startswith("head.")}, weights)
    there = ExtractorConfig(name="timm:test_byobnet", weights=str(weights), image_size=32)
    missing = ExtractorConfig(name="clip", weights=str(work_dir / "nowhere"))
    return QUALITY.model_copy(update={"further_extractors": (there, missing, EXTRACTOR)})


@pytest.fixture(scope="module")
def real_features(run, easy_images, easy_manifest, architecture, classifier_training):
    """The fine-tuned network; training and held-out images by the general network, and by that one."""
    one = classifier_training.model_copy(update={"epochs": 2})
    inception = train_inception(easy_images, easy_manifest, architecture, one, image_size=32, seed=0, **run)
    held_out, *finetuned = extract_real_features(easy_images, easy_manifest, inception, EXTRACTOR, **run)
    train, _ = extract_features(easy_images, inception, EXTRACTOR, **run)
    return inception, train, held_out, *finetuned


def generator(folder, images, *, is_fitted):
    """A generator's folder with an autoencoder alone, which loses nothing of an image, or all."""
    lossless = AutoencoderConfig(block_out_channels=(8,), layers_per_block=1, pixel_shuffle=2, latent_channels=12)
    autoencoder = build_autoencoder(lossless, 32)
    if is_fitted:
        autoencoder.fit_patches(to_float(ImageStack(images, list(images.index()["file"]))[list(range(60))]), 1.0)
    autoencoder.save_pretrained(folder / "vae")
    return ModelFolder(folder, folder.name)


@pytest.fixture(scope="module")
def autoencoder_metrics(run, tmp_path_factory, easy_images, easy_manifest, easy_synthetic_images, real_features):
    """What the node says of an autoencoder that loses nothing, of one that loses all, and of none."""
    folder = tmp_path_factory.mktemp("generators")
    (folder / "none").mkdir()
    generators = {
        "lossless": generator(folder / "lossless", easy_images, is_fitted=True),
        "blind": generator(folder / "blind", easy_images, is_fitted=False),
        "none": ModelFolder(folder / "none", "none"),
    }
    inception, *features = real_features
    return {
        name: measure_autoencoder(
            easy_images, easy_manifest, one, easy_synthetic_images, inception, *features, EXTRACTOR, QUALITY,
            seed=0, **run,
        )
        for name, one in generators.items()
    }  # fmt: skip


def test_an_autoencoder_is_as_far_from_real_images_as_it_loses_of_them(autoencoder_metrics):
    lossless, blind = autoencoder_metrics["lossless"], autoencoder_metrics["blind"]
    for kind in ("frechet_distance", "kid", "manifold"):
        assert [entry["name"] for entry in lossless[kind]] == [entry["name"] for entry in blind[kind]]
        assert {entry["reference"] for entry in lossless[kind]} == {"held_out"}
        assert {entry["n_real"] for entry in lossless[kind]} == {lossless["n"]} == {20}
    for mine, other in zip(lossless["frechet_distance"], blind["frechet_distance"], strict=True):
        assert mine["floor"] == other["floor"]  # the same real images
        assert mine["value"] < 1.5 * mine["floor"]
        assert other["value"] > 2 * mine["value"]


def test_a_generator_without_an_autoencoder_is_measured_without_it(autoencoder_metrics):
    without = autoencoder_metrics["none"]
    assert "no autoencoder that can be asked" in without["reason"]
    assert without["frechet_distance"] == without["kid"] == without["manifold"] == []


@pytest.fixture(scope="module")
def image_metrics(
    run,
    work_dir,
    judge,
    easy_images,
    easy_manifest,
    easy_synthetic_images,
    easy_synthetic_manifest,
    real_features,
    autoencoder_metrics,
):
    inception, train_features, held_out, finetuned_train, finetuned_held_out = real_features
    synthetic, finetuned = extract_features(easy_synthetic_images, inception, EXTRACTOR, **run)
    further = score_by_further_networks(
        easy_images,
        easy_manifest,
        easy_synthetic_images,
        EXTRACTOR,
        further_networks(inception, work_dir),
        seed=0,
        **run,
    )

    def score(manifest):
        return score_images(
            easy_images, easy_manifest, easy_synthetic_images, manifest, train_features, held_out, synthetic,
            finetuned_train, finetuned_held_out, finetuned, further, autoencoder_metrics["lossless"], judge, QUALITY,
            image_size=32, seed=0, variant_name="dermdit", judge_name="real",
        )  # fmt: skip

    return score


def test_image_metrics_name_what_they_measured(image_metrics, easy_synthetic_manifest):
    metrics = image_metrics(easy_synthetic_manifest)
    names = {(entry["name"], entry["reference"]) for entry in metrics["frechet_distance"]}
    assert names == {
        (f"fd_{name}", reference)
        for name in ("efficientnet_lite0", "finetuned_test_byobnet", "test_byobnet")
        for reference in ("train", "held_out")
    }
    assert metrics["passed_over"] == [
        {"name": "clip", "reason": "its weights are not there: nowhere"},
        {"name": "efficientnet_lite0", "reason": "it is the extractor already"},
    ]
    assert metrics["autoencoder"]["n"] == 20
    assert metrics["ms_ssim"]["name"] == "ms_ssim_32px_kernel7_3scales"
    assert metrics["ms_ssim"]["synthetic"]["n_pairs"] == metrics["ms_ssim"]["real"]["n_pairs"] == 20
    json.dumps(metrics, allow_nan=False)


def test_agreement_counts_images_that_the_screens_set_aside(image_metrics, easy_synthetic_manifest):
    metrics = image_metrics(easy_synthetic_manifest)
    assert metrics["tone_agreement"]["overall"]["n"] == 36
    assert metrics["tone_agreement"]["overall"]["value"] == pytest.approx(33 / 36)
    assert metrics["label_agreement"]["overall"]["n"] == 36
    assert metrics["label_agreement"]["overall"]["value"] > 0.9
    assert metrics["label_agreement"]["judge_accuracy"]["n"] == 20
    assert metrics["label_agreement"]["judge"] == "real"


def test_an_unconditional_generator_has_no_agreement(image_metrics, easy_synthetic_manifest):
    asked = ["requested_is_malignant", "requested_tone_group"]
    metrics = image_metrics(easy_synthetic_manifest.assign(**dict.fromkeys(asked)))
    assert metrics["tone_agreement"] is None
    assert metrics["label_agreement"] is None
    assert metrics["frechet_distance"]


def test_a_second_run_does_nothing_twice(arm, judge, work_dir):
    logs = {path: path.stat().st_mtime_ns for path in work_dir.glob("*/metrics.jsonl")}
    assert arm("real") == judge
    assert {path: path.stat().st_mtime_ns for path in work_dir.glob("*/metrics.jsonl")} == logs
