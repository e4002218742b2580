"""Training for real, at toy size: an easy task is learned, a killed run ends the same, nothing is done twice."""

import json

import pandas as pd
import pytest
import torch

from dermdit_kedro.diagnosis.classifier import load_classifiers, read_cards
from dermdit_kedro.diagnosis.examples import REAL, SYNTHETIC, arm_examples, real_examples
from dermdit_kedro.diagnosis.jobs import train_seeds
from dermdit_kedro.diagnosis.parameters import ArmConfig, ClassifierConfig, ClassifierTraining, EvaluationConfig
from dermdit_kedro.diagnosis.predict import decide_together, predict, rows_to_predict, score_images
from dermdit_kedro.diagnosis.thresholds import choose_thresholds
from dermdit_kedro.diagnosis.train import ExampleImages, main, turn
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig

CONFIG = ClassifierConfig(architecture="test_byobnet")
TRAINING = ClassifierTraining(epochs=12, batch_size=16, learning_rate=3e-3, num_validations=3)


def train(work_dir, manifest, images, seeds=(0, 1), training=TRAINING, arm=None):
    real = real_examples(manifest, images, "is_malignant")
    return train_seeds(
        work_dir,
        "train_classifier.real",
        examples=arm_examples(real, real[:0], arm or ArmConfig(), "is_malignant", seed=0),
        folders={REAL: images, SYNTHETIC: images},
        classifier=CONFIG,
        training=training.for_images(48),
        balance=True,
        image_size=32,
        seeds=seeds,
        launch_config=LaunchConfig(),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, manifest, images):
    return train(tmp_path_factory.mktemp("work"), manifest, images)


def test_an_easy_task_is_learned(folder, manifest, images):
    rows = rows_to_predict(manifest, images, "is_malignant")
    predictions = predict(folder, rows, images, "real")
    called = predictions["score"] >= predictions["seed"].map(choose_thresholds(predictions))
    test = predictions["split"] == "test"
    assert (called == predictions["label"])[test].mean() > 0.9


def test_predictions_hold_every_image_and_seed(folder, manifest, images):
    rows = rows_to_predict(manifest, images, "is_malignant")
    predictions = predict(folder, rows, images, "real")
    assert list(predictions.columns) == [
        "image_id", "source", "modality", "test_set", "split", "duplicate_cluster", "arm", "seed", "label_name",
        "label", "score", "tone_group", "sex", "age_approx", "site",
    ]  # fmt: skip
    assert dict(predictions.groupby("test_set")["image_id"].nunique()) == {
        "easy_test": 16, "held_out": 16, "validation": 16,
    }  # fmt: skip
    assert len(predictions) == 2 * 48
    assert set(predictions["seed"]) == {0, 1}
    assert predictions["score"].between(0, 1).all()


def test_the_stored_threshold_is_the_one_the_validation_rows_choose(folder, manifest, images):
    predictions = predict(folder, rows_to_predict(manifest, images, "is_malignant"), images, "real")
    stored = {card.seed: card.threshold for card in read_cards(folder)}
    assert choose_thresholds(predictions) == pytest.approx(stored, abs=1e-5)


def test_each_seed_scores_every_file(folder, images):
    files = list(images.index()["file"])
    scores = score_images(folder, images, files)
    assert [list(part["file"]) for _, part in scores.groupby("seed")] == [files, files]
    assert [card.seed for card in read_cards(folder)] == [0, 1]


def test_seeds_decide_together_by_their_means():
    scores = pd.DataFrame({"file": ["b", "a"] * 2, "seed": [0, 0, 1, 1], "score": [0.2, 0.9, 0.6, 0.3]})
    decided = decide_together(scores, {0: 0.4, 1: 0.6})
    assert dict(decided) == {"b": False, "a": True}
    assert list(decided.index) == ["b", "a"]


def test_no_image_to_score_gives_an_empty_table(folder, images):
    assert score_images(folder, images, []).empty


def test_a_finished_training_is_not_repeated(tmp_path, manifest, images):
    training = TRAINING.model_copy(update={"epochs": 1})
    first = train(tmp_path, manifest, images, seeds=(0,), training=training)
    log = next(tmp_path.glob("*seed_0*/metrics.jsonl"))
    before = log.stat().st_mtime_ns
    assert train(tmp_path, manifest, images, seeds=(0,), training=training) == first
    assert log.stat().st_mtime_ns == before


def test_a_resumed_run_is_the_same_run(tmp_path, manifest, images):
    training = TRAINING.model_copy(update={"epochs": 8, "num_validations": 2, "checkpointing_steps": 20})
    whole = load_classifiers(train(tmp_path / "whole", manifest, images, seeds=(0,), training=training))[0]
    real = real_examples(manifest, images, "is_malignant")
    job = create_job(
        tmp_path / "cut", "cut", "dermdit_kedro.diagnosis.train",
        config={
            "classifier": CONFIG, "training": training.for_images(48), "balance": True, "image_size": 32, "seed": 0,
        },
        inputs={"images": images, "examples": arm_examples(real, real[:0], ArmConfig(), "is_malignant", seed=0)},
    )  # fmt: skip
    state = min((tmp_path / "whole").glob("*seed_0*/checkpoints/step_*"))
    (job.checkpoints / state.name).symlink_to(state)
    main(job)
    steps = [json.loads(line)["step"] for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    assert min(steps) == 24  # 20 were done before; the first line is that of a validation
    cut = load_classifiers(job.handle(ModelFolder))[0]
    for name, value in whole.backbone.state_dict().items():
        assert torch.equal(value, cut.backbone.state_dict()[name])


def test_where_no_row_validates_the_last_weights_are_the_result(tmp_path, manifest, images):
    training = TRAINING.model_copy(update={"epochs": 1})
    folder = train(tmp_path, manifest[manifest["split"] != "val"], images, seeds=(0,), training=training)
    assert load_classifiers(folder)[0].card.threshold == 0.5
    assert not list(tmp_path.glob("*seed_0*/checkpoints/best"))


def test_an_oversampled_image_is_held_once(tmp_path, manifest, images):
    real = real_examples(manifest, images, "is_malignant")
    examples = arm_examples(real, real[:0], ArmConfig(oversample=True), "is_malignant", seed=0)
    job = create_job(tmp_path, "x", "dermdit_kedro.diagnosis.train", config={}, inputs={"images": images})
    data = ExampleImages(job, examples)
    assert len(data) == len(examples)
    assert sum(len(stack) for stack in data._stacks) == examples["file"].nunique()


def test_examples_of_two_folders_come_in_the_order_asked_for(tmp_path, manifest, images):
    real = real_examples(manifest, images, "is_malignant").iloc[:6]
    both = real.assign(folder=[REAL, SYNTHETIC] * 3)
    job = create_job(
        tmp_path, "x", "dermdit_kedro.diagnosis.train", config={}, inputs={REAL: images, SYNTHETIC: images}
    )
    mixed, plain = ExampleImages(job, both), ExampleImages(job, real)
    order = torch.tensor([4, 1, 3, 3, 0, 5, 2])
    assert torch.equal(mixed[order], plain[order])
    assert torch.equal(mixed.labels, plain.labels)


def test_turns_are_the_eight_symmetries_of_the_square():
    image = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    turned = turn(image.repeat(8, 1, 1, 1), torch.arange(8) / 8 + 0.01)
    assert len({tuple(part.flatten().tolist()) for part in turned}) == 8
    assert torch.equal(turned[0], image[0])
    assert (turned.flatten(1).sort(dim=1).values == image.flatten()).all()


def test_a_test_set_can_be_judged_by_the_other_label(manifest, images):
    other = manifest.assign(is_melanoma=pd.array([True, None] * (len(manifest) // 2), dtype="boolean"))
    chosen = EvaluationConfig(label_names={"easy_test": "is_melanoma"})
    rows = rows_to_predict(other, images, "is_malignant", chosen)
    easy, rest = rows[rows["test_set"] == "easy_test"], rows[rows["test_set"] != "easy_test"]
    assert (set(easy["label_name"]), set(rest["label_name"])) == ({"is_melanoma"}, {"is_malignant"})
    assert len(easy) == 8, "images without that label are left out"
    assert easy["label"].all()
    with pytest.raises(UserError, match=r"must name test sets, \['easy_test', 'held_out'\]. Got \['nowhere'\]"):
        rows_to_predict(other, images, "is_malignant", EvaluationConfig(label_names={"nowhere": "is_melanoma"}))
