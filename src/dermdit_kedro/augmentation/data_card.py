"""The data card of a finished synthetic set: how it was made, from what, what was set aside, what it is not for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dermdit_kedro import __version__
from dermdit_kedro.augmentation.plan_rows import group_name
from dermdit_kedro.augmentation.screens import REASONS

TEMPLATE = Path(__file__).with_name("data_card.md.j2")


def describe_screening(screening: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a card says of the screens.

    Args:
        screening: `screening`, of `screens.report_screening` with `unsupported_groups`.

    Returns:
        What the template names.
    """
    alarms, accused = screening["false_alarms"], screening["accused"]
    return {
        "n_planned": screening["n_planned"],
        "n_kept": screening["n_kept"],
        "by_group": [{**row, "name": _asked(row)} for row in screening["by_group"]],
        "unsupported_groups": [
            {**row, "name": group_name(row["group"]).replace("_", " ")} for row in screening["unsupported_groups"]
        ],
        "screens": [
            {
                "name": name,
                "first": first,
                "accused": accused.get(name),
                "alarm": alarms.get(name, {}).get("value"),
                "n": alarms.get(name, {}).get("n", 0),
            }
            for name, first in screening["reasons"].items()
        ],
        "copies": bool((screening["memorisation"] or {}).get("copies")),
        "off": [name for name in REASONS if name not in screening["reasons"]],
    }


def write_data_card(folder: Path, tags: Sequence[str], **facts: Any) -> None:
    """Write `README.md` of a synthetic set, as data hubs read it.

    Args:
        folder: The set.
        tags: What it is about.
        **facts: What the template names.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    data = DatasetCardData(
        license="other", task_categories=["image-classification", "text-to-image"], tags=list(tags),
        pretty_name=f"Synthetic dermoscopic images by {facts['variant']}",
    )  # fmt: skip
    card = DatasetCard.from_template(data, template_path=str(TEMPLATE), version=__version__, **facts)
    (folder / "README.md").write_text(card.content, encoding="utf-8")


def _asked(row: Mapping[str, Any]) -> str:
    asked = {name: row[name] for name in ("is_malignant", "tone_group") if row[name] is not None}
    return group_name(asked).replace("_", " ") if asked else "nothing in particular"
