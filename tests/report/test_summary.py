"""The summary: complete, comparable, honest about what is missing."""

import json
from typing import Any

import numpy as np
import pytest

from dermdit_kedro.report.summary import NOT_MEASURED, build_summary, kind_of_data, plain, sort_parts


def summarise(parts: dict[str, Any]) -> dict[str, Any]:
    return build_summary(sort_parts(parts), baseline="real", seed=0, image_size=64)


def test_everything_asked_for_is_there(parts: dict[str, Any]) -> None:
    summary = summarise(parts)
    assert summary["data"]["kind"] == "phantoms"
    assert summary["data"]["by_split_and_tone"]["train"]["dark"] == 13
    assert summary["prompt_audit"]["five_attributes"]["attribute_recall"]["sex"] == 0.99
    assert summary["autoencoder"]["psnr"]["value"] == 27.3
    assert summary["training"]["dermdit"]["first_loss"] > summary["training"]["dermdit"]["last_loss"]
    assert summary["training"]["dermdit"]["last_step"] == 600
    assert summary["image_metrics"]["dermdit"]["frechet_distance"][0]["value"] == 41.234568
    agreement = summary["agreement"]["dermdit"]
    assert agreement["tone_agreement"]["by_group"]["dark"]["n"] == 40
    assert agreement["label_agreement"]["judge_accuracy"]["value"] == 0.88
    assert set(summary["diagnosis"]) == set(summary["fairness"]) == {
        "real", "synthetic", "real_plus_synthetic", "real_oversampled"
    }  # fmt: skip
    cell = summary["diagnosis"]["real"]["test_sets"]["phantom_even"]["tone_group"]["dark"]
    assert all(len(cell[measure]["interval"]) == 2 for measure in ("auc", "recall", "f1"))
    assert summary["fairness"]["real"]["attributes"]["tone_group"]["held_out"]["gaps"]["auc_gap"]["p_value"]
    assert {found["question"] for found in summary["verdict"]["verdicts"]} == {"accuracy", "fairness"}
    assert summary["arm_comparison"]["baseline"] == "real"


def test_two_equal_runs_give_equal_summaries(parts: dict[str, Any]) -> None:
    slower = {**parts, "dermdit.training_history": {**parts["dermdit.training_history"], "seconds": 999.0}}
    assert json.dumps(summarise(parts)) == json.dumps(summarise(slower))
    assert "seconds" not in json.dumps(summarise(parts))


def test_the_order_of_the_parts_does_not_change_the_content(parts: dict[str, Any]) -> None:
    assert summarise(dict(reversed(parts.items()))) == summarise(parts)


@pytest.mark.parametrize("missing", ["data_report", "autoencoder_report", "dermdit.image_metrics", "dermdit.screening"])
def test_a_missing_part_says_so(parts: dict[str, Any], missing: str) -> None:
    summary = summarise({name: part for name, part in parts.items() if name != missing})
    assert NOT_MEASURED in json.dumps(summary)


def test_nothing_at_all_is_said_to_be_nothing() -> None:
    summary = summarise({})
    assert summary["diagnosis"] == summary["verdict"] == summary["image_metrics"] == NOT_MEASURED
    assert summary["data"]["kind"] == "unknown"


def test_an_agreement_that_does_not_apply_is_not_a_number(parts: dict[str, Any]) -> None:
    metrics = {**parts["dermdit.image_metrics"], "tone_agreement": None, "label_agreement": None}
    agreement = summarise({"ldm.image_metrics": metrics})["agreement"]["ldm"]
    assert agreement == {"tone_agreement": NOT_MEASURED, "label_agreement": NOT_MEASURED}


def test_plain_values() -> None:
    dirty = {"a": np.float64(1 / 3), "b": float("nan"), "c": (1, True), "path": "/somewhere", "d": {"seconds": 3}}
    assert plain(dirty) == {"a": 0.333333, "b": None, "c": [1, True], "d": {}}


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 'dermdit\.nonsense'"):
        sort_parts({"dermdit.nonsense": {}})


@pytest.mark.parametrize(
    ("sources", "kind"),
    [
        ({"phantoms": {"layout": "phantom"}}, "phantoms"),
        ({"mine": {"layout": "phantom"}}, "phantoms"),
        ({"phantoms": {"rows": 3}}, "phantoms"),
        ({"phantoms": {}, "ham10000": {}}, "phantoms and patients"),
        ({"ham10000": {"layout": "ham10000"}}, "patients"),
        (["phantoms"], "phantoms"),
        (None, "unknown"),
    ],
)
def test_kind_of_data(sources: Any, kind: str) -> None:
    assert kind_of_data({"sources": sources}) == kind
