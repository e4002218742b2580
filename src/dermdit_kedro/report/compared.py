"""What is compared on the page, in words: what each classifier learned from, and what it was tested on."""

from collections.abc import Mapping
from typing import Any

from dermdit_kedro.diagnosis.parameters import HELD_OUT, ArmConfig
from dermdit_kedro.report.summary import RUN
from dermdit_kedro.report.tables import items
from dermdit_kedro.report.wording import arm_word, label_word, readable


def arm_lines(summary: Mapping[str, Any]) -> dict[str, str]:
    """Say what the classifiers of each arm learned from.

    Args:
        summary: The summary; its run's configuration has the arms.

    Returns:
        A sentence by the arm's word; an arm whose configuration is not recorded is left out.
    """
    run = summary[RUN] if isinstance(summary[RUN], Mapping) else {}
    configuration = run.get("configuration", {})
    arms = {arm: configuration.get(f"{arm}.arm") for arm, _ in items(summary["diagnosis"])}
    return {arm_word(arm): describe_arm(ArmConfig(**found)) for arm, found in arms.items() if found}


def describe_arm(arm: ArmConfig) -> str:
    """Say what an arm's classifiers learn from and how they decide.

    Args:
        arm: Its parameters.

    Returns:
        A sentence.
    """
    ratio = f", {arm.synthetic_ratio:g} generated for each real one" if arm.synthetic_ratio else ""
    if arm.real and arm.synthetic:
        images = "the real training images and the generated ones that passed the screens"
    else:
        images = "the real training images" if arm.real else "generated images that passed the screens, no real one"
    often = ", each repeated until every label and tone has as many" if arm.oversample else ""
    group = readable(arm.threshold_by) if arm.threshold_by else ""
    decides = f"; called malignant at a threshold of its own for each {group}" if group else ""
    return f"Trained on {images}{ratio}{often}{decides}."


def test_set_lines(summary: Mapping[str, Any]) -> dict[str, str]:
    """Say what each test set is and how many images it has.

    Args:
        summary: The summary.

    Returns:
        A sentence by the test set's word.
    """
    found: Mapping[str, Any] = next((part["test_sets"] for _, part in items(summary["diagnosis"])), {})
    told = {}
    for name, part in found.items():
        what = "The test split of the sources that train" if name == HELD_OUT else "A source that trains nothing"
        counts = (
            f"{part['overall']['n_positive']:,} {label_word(part['label_name'])} of {part['overall']['n']:,} images"
        )
        told[readable(name)] = f"{what}: {counts}."
    return told


def interval_words(summary: Mapping[str, Any]) -> str:
    """Say how sure the page's intervals are.

    Args:
        summary: The summary; its run's configuration has the levels.

    Returns:
        Words to follow "every interval is"; empty where it is not recorded.
    """
    configuration = summary[RUN]["configuration"] if isinstance(summary[RUN], Mapping) else {}
    blocks = {"image_quality": "images", "group_fairness": "classifiers"}
    levels = {words: (configuration.get(block) or {}).get("confidence") for block, words in blocks.items()}
    told = {words: f"{level:.3g} %" for words, level in ((w, 100 * v) for w, v in levels.items() if v)}
    if len(set(told.values())) == 1:
        return f"a {next(iter(told.values()))} interval"
    return " and ".join(f"one of {level} where it is about {words}" for words, level in told.items())
