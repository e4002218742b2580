"""The command that measures time to quality, on forty discs and for a second; and the arithmetic of its curves."""

import json
import sys

import pandas as pd
import pytest
import torch
from tests.benchmarks.quality_table import best_curve, compare, minutes_to_reach, say

from dermdit_kedro.diffusion.parameters import AutoencoderConfig
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.pipelines.generative_training import nodes
from dermdit_kedro.training.parameters import TrainingConfig

PARAMETERS = {
    "dermdit": {"denoiser": {"patch_size": 2, "hidden_size": 32, "depth": 1, "num_heads": 2}},
    "objective": {"prediction_type": "flow"},
    "denoiser_training": {"max_train_steps": 9, "batch_size": 8, "learning_rate": 1e-3, "ema_decay": 0.9},
    "extractor": {"name": "efficientnet_lite0", "image_size": 32},
}


@pytest.fixture
def command(root, monkeypatch):
    """The module of the command, which is run as a script and finds its neighbours beside it."""
    monkeypatch.syspath_prepend(str(root / "tests" / "benchmarks"))
    import time_to_quality

    yield time_to_quality
    for name in ("time_to_quality", "recipes", "quality_table"):
        sys.modules.pop(name, None)


@pytest.fixture
def toy(command, images, manifest, text_embeddings, text_encoder, tmp_path):
    """What the pipelines would have made of the forty discs."""
    work_dir, reporting = tmp_path / "work", tmp_path / "reporting"
    reporting.mkdir()
    training = TrainingConfig(max_train_steps=2, batch_size=4, learning_rate=1e-3)
    small = AutoencoderConfig(block_out_channels=(8, 16), latent_channels=4)
    autoencoder, _ = nodes.train_autoencoder(images, manifest, small, training, 16, 0, LaunchConfig(), work_dir)
    inputs = {
        "manifest": manifest,
        "images": images,
        "autoencoder": autoencoder,
        "latents": nodes.encode_latents(images, manifest, autoencoder, LaunchConfig(), work_dir),
        "text_encoder": text_encoder,
        f"{command.PROMPTS}.prompts": manifest[["image_id"]].assign(prompt="a disc"),
        f"{command.PROMPTS}.text_embeddings": text_embeddings,
    }
    return command.Project(inputs, PARAMETERS, work_dir, reporting)


def test_the_command_trains_draws_measures_and_goes_on(command, toy):
    short = command.measure(toy, ["chosen"], [0.002], 1, 4, "test")
    long = command.measure(toy, ["chosen", "prior"], [0.002, 0.005], 1, 4, "test")
    rows = pd.DataFrame(long["rows"])
    assert rows[["recipe", "sampler"]].to_numpy().tolist() == [
        ["chosen", "flow_heun 10"], ["chosen", "flow_heun 10"],
        ["prior", "ddim 50"], ["prior", "ddim 50"], ["prior", "ddpm 250"],
    ]  # fmt: skip
    assert long["rows"][0] == short["rows"][0]  # what was there is not made again
    assert (rows["minutes"] >= rows["mark"]).all()
    assert rows["steps"].iloc[1] >= rows["steps"].iloc[0] > 0
    ways = ["through_autoencoder", "as_they_are"]
    assert (rows[ways] > 0).all(axis=None) and rows[ways].map(torch.tensor).map(torch.isfinite).all(axis=None)
    assert long["n"] == 4 and set(long["floor"]) == set(ways)
    written = {file.name for file in toy.reporting.iterdir()}
    assert {"test_chosen_prior.json", "test_chosen_prior.png", "samples_chosen_0.png", "samples_prior_0.png"} <= written
    assert "| prior | 0 |" in say(long)


def test_the_clock_goes_on_after_a_kill(command, toy, monkeypatch):
    recipe = command.read_recipe(PARAMETERS, "chosen")
    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) > 56:
            raise KeyboardInterrupt
        return losses(*arguments)

    losses = command.denoising_losses
    monkeypatch.setattr(command, "denoising_losses", killed)
    with pytest.raises(KeyboardInterrupt):
        command.train(toy, recipe, [1000.0], 0)
    (job,) = toy.work_dir.glob("time_to_quality.train-*")
    lines = [json.loads(line) for line in (job / "metrics.jsonl").read_text().splitlines()]
    passed = {line["step"]: line["validation_minutes"] for line in lines if "validation_minutes" in line}
    assert sorted(passed.values()) == [passed[step] for step in range(5, 56, 5)]
    monkeypatch.setattr(command, "denoising_losses", losses)
    (snapshot,) = command.train(toy, recipe, [passed[50] + 1e-6], 0)
    assert snapshot.step == 55  # from the state after 50 steps on, and the clock with it
    assert passed[50] < snapshot.minutes < 2 * passed[55]
    with pytest.raises(command.UserError, match=r"marks must be ahead of what was trained already\. Got .* Delete "):
        command.train(toy, recipe, [passed[5]], 0)


def test_missing_inputs_are_named_with_the_command_that_makes_them(command, project):
    with pytest.raises(command.UserError, match=r"latents.* must be there first. Run `kedro run --env test"):
        command.open_project("test")


CURVE = [(1.0, 400.0), (4.0, 200.0), (16.0, 100.0)]


@pytest.mark.parametrize(
    ("value", "minutes"), [(500.0, 1.0), (400.0, 1.0), (300.0, 2.0), (200.0, 4.0), (150.0, 8.0), (100.0, 16.0)]
)
def test_a_curve_reaches_a_value_between_two_points_straight_in_log_time(value, minutes):
    assert minutes_to_reach(CURVE, value) == pytest.approx(minutes)


def test_a_curve_that_stays_above_never_reaches_a_value():
    assert minutes_to_reach(CURVE, 99.0) is None


def test_the_ratio_of_times_is_a_bound_where_the_prior_recipe_never_gets_there():
    rows = [("chosen", 1.0, 300.0), ("chosen", 2.0, 90.0), *(("prior", *point) for point in CURVE)]
    table = pd.DataFrame(rows, columns=["recipe", "mark", "way"]).assign(seed=0)
    reached, bound, last = compare(table.assign(minutes=table["mark"]), "way")
    assert (reached["ratio"], reached["is_bound"]) == (pytest.approx(2.0), False)
    assert (bound["ratio"], bound["is_bound"]) == (pytest.approx(8.0), True)
    assert bound["prior"] == "not reached in 16 minutes"
    assert (last["distance"], last["prior"]) == (100.0, "after 16.0 minutes")
    assert (last["ratio"], last["is_bound"]) == (pytest.approx(16 / 2 ** (200 / 210)), False)


def test_of_several_samplers_the_best_counts_and_of_several_seeds_the_mean():
    rows = [("prior", 1.0, 0, 400.0), ("prior", 1.0, 0, 300.0), ("prior", 1.0, 1, 100.0)]
    table = pd.DataFrame(rows, columns=["recipe", "mark", "seed", "way"])
    assert best_curve(table.assign(minutes=table["mark"]), "prior", "way") == [(1.0, 200.0)]
