"""Parameters that do not fit together are refused by name; those of `base` fit."""

from collections.abc import Mapping
from typing import Any

import pytest

from dermdit_kedro.combinations import refuse_combinations
from dermdit_kedro.errors import UserError

FITTING = {
    "image_size": 64,
    "seed": 0,
    "launch": {"num_processes": 2},
    "autoencoder": {"pretrained": None, "block_out_channels": [16, 32, 64]},
    "autoencoder_training": {"batch_size": 8},
    "denoiser_training": {"batch_size": 64},
    "objective": {"prediction_type": "flow"},
    "sampler": {"scheduler": "flow_euler"},
    "dermdit": {"denoiser": {"architecture": "dermdit", "patch_size": 2}},
    "ldm": {"denoiser": {"architecture": "unet", "block_out_channels": [48, 96]}},
    "five_attributes": {"prompt_set": {"attributes": ["is_malignant", "tone_group"]}},
    "synthesis": {"attributes": ["is_malignant"]},
    "classifier": {"label_name": "is_malignant"},
    "screening_classifier": {},
    "real": {"arm": {"real": True}},
    "synthetic": {"arm": {"synthetic": True}},
    "report": {"baseline_arm": "real"},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """The fitting parameters with another value at a dotted key."""

    def put(tree: Mapping[str, Any], parts: list[str]) -> dict[str, Any]:
        head, *rest = parts
        return {**tree, head: put(tree.get(head, {}), rest) if rest else value}

    return put(FITTING, key.split("."))


def test_what_fits_passes() -> None:
    assert refuse_combinations(FITTING) is None
    assert refuse_combinations({}) is None
    assert refuse_combinations(changed("classifier.label_name", "is_melanoma") | {"synthetic": {}}) is None


def test_a_given_autoencoder_is_not_judged_by_the_size_of_ours() -> None:
    given = changed("autoencoder.pretrained", "some/folder") | {"image_size": 100}
    assert refuse_combinations(given) is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", -1, r"seed = -1: must be at least 0"),
        ("seed", 2**32, r"below 2\*\*32"),
        ("image_size", 0, r"image_size = 0: must be at least 8"),
        ("image_size", 66, r"image_size = 66: must be a multiple of 4"),
        ("autoencoder.block_out_channels", [12, 12], r"must be a multiple of 8"),
        ("dermdit.denoiser.patch_size", 3, r"dermdit\.denoiser\.patch_size = 3: must divide .* 16"),
        ("ldm.denoiser.block_out_channels", [8] * 6, r"6 levels do not halve latents of 16 x 16"),
        ("sampler.scheduler", "ddim", r"'flow' needs one of flow_euler, flow_heun, "),
        ("objective.prediction_type", "epsilon", r"'epsilon' needs one of ddpm"),
        ("autoencoder_training.batch_size", 15, r"must be a multiple of launch\.num_processes, 2"),
        (
            "launch.num_machines",
            3,
            r"multiple of launch\.num_processes x launch\.num_machines, 6",
        ),
        ("denoiser_training.gradient_accumulation_steps", 5, r"num_processes x gradient_accumulation_steps, 10"),
        ("objective.learn_sigma", True, r"objective\.learn_sigma needs ddpm"),
        ("autoencoder.latent_channels", 49, r"latent_channels = 49: must be at most 48"),
        ("classifier.label_name", "is_melanoma", r"classifier\.label_name = 'is_melanoma'"),
        ("screening_classifier.label_name", "is_melanoma", r"screening_classifier\.label_name"),
        ("synthesis.attributes", ["site"], r"lacks site"),
        ("report.baseline_arm", "reall", r"must be one of real, synthetic"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(key: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        refuse_combinations(changed(key, value))


@pytest.mark.parametrize(("scheduler", "most"), [("ddpm", 1000), ("ddim", 1000), ("dpm_solver", 999), ("unipc", 999)])
def test_a_sampler_has_no_more_steps_than_the_schedule(scheduler: str, most: int) -> None:
    def with_steps(count: int) -> dict[str, Any]:
        sampler = {"scheduler": scheduler, "num_inference_steps": count}
        return FITTING | {"objective": {"prediction_type": "epsilon", "num_train_timesteps": 1000}, "sampler": sampler}

    assert refuse_combinations(with_steps(most)) is None
    with pytest.raises(UserError, match=rf"num_inference_steps = {most + 1}: must be at most {most} for {scheduler}"):
        refuse_combinations(with_steps(most + 1))


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(UserError) as refused:
        refuse_combinations(changed("seed", -1) | {"sampler": {"scheduler": "ddim"}})
    assert len(str(refused.value).splitlines()) == 2
