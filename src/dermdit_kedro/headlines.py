"""What of a run's summary stands at the head of its page in MLflow."""

from collections.abc import Iterator, Mapping
from typing import Any

from dermdit_kedro.tracking import Measurement, measurements


def headlines(summary: Mapping[str, Any]) -> Iterator[Measurement]:
    """Pick the numbers by which runs are compared at a glance.

    Args:
        summary: The `summary` of a run; parts that were not measured may be missing or text.

    Yields:
        AUC and gap between tone groups of each arm and test set; distances (first network, held-out images), agreement
        and share kept of each variant; PSNR of the autoencoder. All begin with `headline/`.
    """
    for arm in _keys(summary, "diagnosis"):
        for test_set in _keys(summary, "diagnosis", arm, "test_sets"):
            auc = _dig(summary, "diagnosis", arm, "test_sets", test_set, "overall", "auc", "value")
            gaps = _dig(summary, "fairness", arm, "attributes", "tone_group", test_set, "gaps")
            yield from measurements(f"headline/auc.{arm}.{test_set}", auc)
            gap = _dig(gaps, "equal_opportunity_difference", "value")
            yield from measurements(f"headline/tone_gap.{arm}.{test_set}", gap)
    for variant in _keys(summary, "image_metrics"):
        for kind in ("frechet_distance", "kid"):
            rows = _dig(summary, "image_metrics", variant, kind)
            held_out = [row for row in rows or () if _dig(row, "reference") == "held_out"]
            yield from measurements(f"headline/{kind}.{variant}", _dig(held_out[0], "value") if held_out else None)
        for kind in ("tone_agreement", "label_agreement"):
            value = _dig(summary, "agreement", variant, kind, "overall", "value")
            yield from measurements(f"headline/{kind}.{variant}", value)
        kept, planned = (_dig(summary, "screening", variant, key) for key in ("n_kept", "n_planned"))
        yield from measurements(f"headline/share_kept.{variant}", kept / planned if planned else None)
    yield from measurements("headline/psnr.autoencoder", _dig(summary, "autoencoder", "psnr", "value"))


def note(summary: Mapping[str, Any]) -> str:
    """Say what the run found, for the head of its page.

    Args:
        summary: The `summary` of a run.

    Returns:
        Markdown: what the data are, and the verdict in words.
    """
    phantoms = _dig(summary, "data", "kind") == "phantoms"
    warning = ["**Phantoms: these figures say nothing about patients.**"] if phantoms else []
    return "\n\n".join([*warning, *(part["text"] for part in _dig(summary, "verdict", "paragraphs") or ())])


def _dig(content: Any, *keys: str) -> Any:
    """Return what lies below the keys, or None."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _keys(content: Any, *keys: str) -> list[str]:
    found = _dig(content, *keys)
    return list(found) if isinstance(found, Mapping) else []
