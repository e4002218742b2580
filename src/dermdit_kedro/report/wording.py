"""The words a reader sees for names in files."""

from collections.abc import Mapping
from typing import Any

_MEASURES = {
    "auc": "AUC",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "recall": "recall",
    "f1": "F1",
}
_ATTRIBUTES = {"tone_group": "estimated tone", "age_band": "age"}


def readable(name: str) -> str:
    """Spell a catalog name for a reader, `real_plus_synthetic` as `real + synthetic`."""
    return _ATTRIBUTES.get(name, name.replace("_plus_", " + ").replace("_", " "))


def arm_word(arm: str) -> str:
    """Spell what a classifier is trained on; `synthetic` says that nothing real is beside it."""
    return "synthetic alone" if arm == "synthetic" else readable(arm)


def measure_word(measure: str) -> str:
    """Return a measure's name for a reader."""
    return _MEASURES.get(measure, readable(measure))


def label_word(label_name: str) -> str:
    """Return what a positive image shows: `malignant` or `melanoma`."""
    return label_name.removeprefix("is_")


def signed(difference: Mapping[str, Any]) -> str:
    """Print a difference with its interval and p-value.

    Args:
        difference: `{"value", "interval", "p_value"}` and perhaps `p_adjusted`.

    Returns:
        Such as `+0.021 [+0.004, +0.038], corrected p 0.03`.
    """
    if difference["value"] is None:
        return "not measured"
    interval = difference.get("interval")
    text = f"{difference['value']:+.3f}"
    text += f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else " without an interval, since nothing varies"
    for key, word in (("p_adjusted", "corrected p"), ("p_value", "p")):
        if difference.get(key) is not None:
            return f"{text}, {word} {difference[key]:.2g}"
    return text
