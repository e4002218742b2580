"""Counts of a manifest that a person reads in a minute."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dermdit_kedro.dermoscopy.data_counts import (
    LABELS,
    count_by_source,
    count_cells,
    count_missing,
    count_values,
    name_labels,
    spread_tone,
)
from dermdit_kedro.dermoscopy.records import MANIFEST_COLUMNS, SPLITS, TONE_GROUPS, UNKNOWN_TONE
from dermdit_kedro.dermoscopy.skin_tone import tone_group
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig

TONES = (*TONE_GROUPS, UNKNOWN_TONE)


def _cross(manifest: pd.DataFrame, values: pd.Series, order: tuple[str, ...]) -> dict[str, dict[str, int]]:
    counts = pd.crosstab(manifest["split"], values).reindex(index=list(SPLITS), columns=list(order), fill_value=0)
    return {str(split): {name: int(row[name]) for name in order} for split, row in counts.iterrows()}


def _lesions(manifest: pd.DataFrame) -> int:
    return len(manifest.dropna(subset=["lesion_id"]).drop_duplicates(["source", "lesion_id"]))


def _leak_guard(manifest: pd.DataFrame) -> dict[str, Any]:
    """Count the images kept out of training because their cluster holds an image they are tested on."""
    excluded = manifest[manifest["split"] == "excluded"]
    tested = manifest.loc[manifest["role"] == "test", ["duplicate_cluster", "source"]].drop_duplicates()
    pairs = excluded[["image_id", "source", "duplicate_cluster"]].merge(
        tested, on="duplicate_cluster", suffixes=("", "_test")
    )
    by_pair = (
        pairs.drop_duplicates(["image_id", "source_test"]).groupby(["source", "source_test"], as_index=False).size()
    )
    names = {f"{train} in {test}": int(count) for train, test, count in by_pair.itertuples(index=False)}
    used = manifest[manifest["split"] != "excluded"]
    in_two = int((used.groupby("duplicate_cluster")["split"].nunique() > 1).sum())
    return {"excluded": len(excluded), "by_source_pair": names, "clusters_in_two_splits": in_two}


def _experts(manifest: pd.DataFrame, skin_tone: SkinToneConfig) -> dict[str, Any]:
    """Compare the tone estimated from pixels with the experts', by source, where an image has both."""
    from scipy.stats import binomtest

    both = manifest[(manifest["tone_source"] == "expert") & manifest["ita_degrees"].notna()]
    found = {}
    for name, part in both.groupby("source"):
        estimated = part["ita_degrees"].map(lambda angle: tone_group(angle, skin_tone))
        agreeing = int((estimated == part["tone_group"]).sum())
        low, high = binomtest(agreeing, len(part)).proportion_ci(method="wilson")
        table = pd.crosstab(part["tone_group"], estimated).reindex(index=TONE_GROUPS, columns=TONE_GROUPS, fill_value=0)
        found[str(name)] = {
            "n": len(part), "value": agreeing / len(part), "interval": [float(low), float(high)],
            "expert_by_estimated": {str(k): {str(c): int(v) for c, v in row.items()} for k, row in table.iterrows()},
        }  # fmt: skip
    return found


def _count_contradictions(manifest: pd.DataFrame) -> int:
    """Count pictures that are benign under one name and malignant under another."""
    return int((manifest.groupby("sha256")["is_malignant"].nunique() > 1).sum())


def summarise_data(
    layouts: Mapping[str, str],
    records: pd.DataFrame,
    manifest: pd.DataFrame,
    quarantine: pd.DataFrame,
    skin_tone: SkinToneConfig,
) -> dict[str, Any]:
    """Count images by split, tone, label and source; what is missing, set aside, linked and guarded.

    Args:
        layouts: Layout of each source by its name; phantoms are told from patients by it.
        records: What the sources said.
        manifest: The manifest; no cluster lies in two splits, or it would not have been written.
        quarantine: Images set aside.
        skin_tone: How tone was measured.

    Returns:
        `data_report`, JSON-ready.
    """
    sizes = manifest["duplicate_cluster"].value_counts()
    sources = {
        str(name): {
            "layout": layouts[str(name)],
            "records": int((records["source"] == name).sum()),
            "images": len(part),
            "lesions": _lesions(part),
            "role": str(part["role"].iloc[0]),
            "malignant": int(part["is_malignant"].sum()),
            "melanoma": int(part["is_melanoma"].sum()),
            "tone_group": count_values(part["tone_group"]),
            "site": count_values(part["site"].fillna("unknown")),
            "sex": count_values(part["sex"].fillna("unknown")),
        }
        for name, part in manifest.groupby("source")
    }
    return {
        "images": len(manifest),
        "lesions": _lesions(manifest),
        "malignant": int(manifest["is_malignant"].sum()),
        "melanoma": int(manifest["is_melanoma"].sum()),
        "by_split_and_tone": _cross(manifest, manifest["tone_group"], TONES),
        "by_split_and_label": _cross(manifest, name_labels(manifest), LABELS),
        "sources": sources,
        "tone_by_pixels_and_experts": _experts(manifest, skin_tone),
        **spread_tone(manifest, skin_tone),
        "missing": {column: int(manifest[column].isna().sum()) for column in MANIFEST_COLUMNS},
        "missing_by_source": count_missing(manifest),
        "quarantined": count_values(quarantine["reason"]) if len(quarantine) else {},
        "quarantined_by_source": count_by_source(quarantine, "reason"),
        "duplicates": {
            "clusters": len(sizes),
            "images_in_shared_clusters": int(sizes[sizes > 1].sum()),
            "identical_files": int(manifest["sha256"].duplicated().sum()),
            "labelled_differently": _count_contradictions(manifest),
        },
        "leak_guard": _leak_guard(manifest),
        "counts": count_cells(manifest),
    }
