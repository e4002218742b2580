"""The summary for machines: every number of a run that two runs ought to share, and in `run` what they do not.

Times, paths and host names are left out and floats are rounded to six digits, so that two runs of the same
configuration can be compared: all but `run` is equal. What was not measured says so instead of going missing.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dermdit_kedro import __version__

NOT_MEASURED = "not measured"
RUN = "run"
"""The one section in which two equal runs differ: id, time, commit, and with what they ran."""

DIGITS = 6
VOLATILE = frozenset(
    {"seconds", "duration", "elapsed", "images_per_second", "path", "paths", "filepath", "folder", "work_dir"}
    | {"created", "timestamp", "run_id", "host"}
)
"""Keys that differ between two equal runs; they are dropped at any depth."""

AGREEMENT = ("tone_agreement", "label_agreement")


@dataclass(frozen=True)
class ReportParts:
    """The results of a run, sorted by what they are about.

    Attributes:
        data: `data_report`, empty where it is missing.
        autoencoder: `autoencoder_report`, empty where it is missing.
        prompt_audits: `prompt_audit` by prompt set.
        training: `training_history` by variant.
        image_metrics: `image_metrics` by variant.
        screening: `screening` by variant.
        diagnosis: `diagnosis_metrics` by arm.
        fairness: `group_fairness` by arm.
        arm_comparison: `arm_comparison`, empty where it is missing.
        verdict: `verdict`, empty where it is missing.
        figures: Figures by catalog name.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    autoencoder: Mapping[str, Any] = field(default_factory=dict)
    prompt_audits: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    image_metrics: Mapping[str, Any] = field(default_factory=dict)
    screening: Mapping[str, Any] = field(default_factory=dict)
    diagnosis: Mapping[str, Any] = field(default_factory=dict)
    fairness: Mapping[str, Any] = field(default_factory=dict)
    arm_comparison: Mapping[str, Any] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)


_PLAIN = {
    "data_report": "data",
    "autoencoder_report": "autoencoder",
    "verdict": "verdict",
    "arm_comparison": "arm_comparison",
}
_NAMESPACED = {
    "prompt_audit": "prompt_audits",
    "training_history": "training",
    "image_metrics": "image_metrics",
    "screening": "screening",
    "diagnosis_metrics": "diagnosis",
    "group_fairness": "fairness",
}


def sort_parts(parts: Mapping[str, Any]) -> ReportParts:
    """Sort results by their catalog names.

    Args:
        parts: Results by catalog name, such as `dermdit.image_metrics`, `data_report` or `pca_figure`.

    Returns:
        The same results by subject and owner, in the order given.

    Raises:
        ValueError: If a name belongs to no subject.
    """
    sorted_parts: dict[str, Any] = {subject: {} for subject in _NAMESPACED.values()} | {"figures": {}}
    for name, part in parts.items():
        owner, _, kind = name.rpartition(".")
        if name in _PLAIN:
            sorted_parts[_PLAIN[name]] = part or {}
        elif owner and kind in _NAMESPACED:
            sorted_parts[_NAMESPACED[kind]][owner] = part or {}
        elif name.endswith("_figure"):
            sorted_parts["figures"][name] = part
        else:
            known = ", ".join([*_PLAIN, *(f"<owner>.{kind}" for kind in _NAMESPACED), "<name>_figure"])
            raise ValueError(f"a part of the report must be one of {known}; got {name!r}")
    return ReportParts(**sorted_parts)


def kind_of_data(data_report: Mapping[str, Any]) -> str:
    """Say whether the images show patients.

    Args:
        data_report: The report of the data engineering, with its `sources`.

    Returns:
        "phantoms", "patients", "phantoms and patients", or "unknown" where no source is named.
    """
    sources = data_report.get("sources") or {}
    if not isinstance(sources, Mapping):
        sources = {str(name): {} for name in sources}
    drawn = {name: _is_phantom(name, source) for name, source in sources.items()}
    if not drawn:
        return "unknown"
    if all(drawn.values()):
        return "phantoms"
    return "phantoms and patients" if any(drawn.values()) else "patients"


def build_summary(
    parts: ReportParts, *, baseline: str, seed: int, image_size: int, run: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Gather the numbers of a run.

    Args:
        parts: The results.
        baseline: The arm the others are compared with.
        seed: The run's seed.
        image_size: Side of the images in pixels.
        run: What is told of the run itself, as JSON has it.

    Returns:
        Plain JSON values; equal runs give equal summaries but for `run`.
    """
    variants = _owners(parts.training, parts.image_metrics, parts.screening)
    arms = _owners(parts.diagnosis, parts.fairness)
    summary = {
        "code": {"dermdit_kedro": __version__},
        "seed": seed,
        "image_size": image_size,
        "data": _data(parts.data),
        "prompt_audit": {name: audit or NOT_MEASURED for name, audit in parts.prompt_audits.items()} or NOT_MEASURED,
        "autoencoder": _picked(parts.autoencoder, ("psnr", "by_tone_group", "frechet_distance", "scaling_factor")),
        "training": {v: _training(parts.training.get(v)) for v in variants} or NOT_MEASURED,
        "image_metrics": {v: _image_metrics(parts.image_metrics.get(v)) for v in variants} or NOT_MEASURED,
        "agreement": {v: _agreement(parts.image_metrics.get(v)) for v in variants} or NOT_MEASURED,
        "screening": {v: parts.screening.get(v) or NOT_MEASURED for v in variants} or NOT_MEASURED,
        "diagnosis": {arm: parts.diagnosis.get(arm) or NOT_MEASURED for arm in arms} or NOT_MEASURED,
        "fairness": {arm: parts.fairness.get(arm) or NOT_MEASURED for arm in arms} or NOT_MEASURED,
        "baseline_arm": baseline,
        "arm_comparison": parts.arm_comparison or NOT_MEASURED,
        "verdict": parts.verdict or NOT_MEASURED,
    }
    return {**plain(summary), RUN: dict(run) if run else NOT_MEASURED}


def plain(value: Any) -> Any:
    """Turn a nested result into JSON values that two equal runs share.

    Args:
        value: Mappings, lists, numbers (also NumPy's) and strings.

    Returns:
        The same without volatile keys, floats rounded to six digits, NaN and infinity as None.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items() if key not in VOLATILE}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return plain(value.item())
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value


def _is_phantom(name: str, source: Any) -> bool:
    layout = source.get("layout") if isinstance(source, Mapping) else None
    return str(layout) == "phantom" if layout is not None else name.startswith("phantom")


def _owners(*groups: Mapping[str, Any]) -> list[str]:
    """Return every name that occurs, once, in the order met."""
    return list(dict.fromkeys(name for group in groups for name in group))


def _picked(part: Mapping[str, Any] | None, keys: Iterable[str]) -> dict[str, Any]:
    part = part or {}
    return {key: part[key] if part.get(key) is not None else NOT_MEASURED for key in keys}


def _data(report: Mapping[str, Any]) -> dict[str, Any]:
    kind = kind_of_data(report)
    keys = ("images", "lesions", "malignant", "melanoma", "by_split_and_tone", "by_split_and_label")
    more = ("sources", "missing", "quarantined", "duplicates", "leak_guard")
    return {"kind": kind, **_picked(report, keys + more)}


def _training(history: Mapping[str, Any] | None) -> dict[str, Any]:
    steps = (history or {}).get("steps") or [None]
    return _picked(
        {**(history or {}), "last_step": steps[-1]}, ("first_loss", "last_loss", "last_step", "num_parameters")
    )


def _image_metrics(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    measured = ("frechet_distance", "kid", "manifold", "ms_ssim")
    named = (*measured, *AGREEMENT, "variant", "image_size")
    kept = {key: value for key, value in (metrics or {}).items() if key not in named}
    return _picked({key: (metrics or {}).get(key) or None for key in measured}, measured) | kept


def _agreement(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    return _picked(metrics, AGREEMENT)
