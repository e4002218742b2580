"""The tables of a million images: harmonised, linked, dealt out and counted; the images themselves are not there."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from tests.peak_memory import PeakMemory

from dermdit_kedro.dermoscopy.layouts import open_source
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.dermoscopy.records import INSPECTED_DTYPES, QUARANTINE_COLUMNS, TONE_DTYPES, conform
from dermdit_kedro.pipelines.data_engineering import nodes

MILLION = 1_000_000
FEW = 3_000
FLIPPED = 0.12
"""Each bit of a hash drawn from 10,000 is flipped with this probability: as many near pairs as among real ones."""

WORDS: dict[str, list[str]] = {
    "sex": ["male", "female", ""],
    "age_approx": ["", *map(str, range(5, 90, 5))],
    "anatom_site_1": ["Trunk", "Upper extremity", "Lower extremity", "Head and neck", ""],
    "diagnosis_1": ["Benign", "Benign", "Benign", "Malignant", "Indeterminate", ""],
    "fitzpatrick_skin_type": ["I", "II", "III", "IV", "V", "VI", "", "", ""],
}


def write_export(folder: Path, count: int, rng: np.random.Generator) -> None:
    """Write the table of an export of the ISIC Archive, and one of its images."""
    lesion = rng.integers(0, int(0.7 * count), count)
    rows = {
        "isic_id": [f"ISIC_{number:07d}" for number in range(count)],
        "attribution": "simulated",
        "copyright_license": "CC-0",
        "image_type": "dermoscopic",
        "lesion_id": [f"IL_{number:07d}" for number in lesion],
        "patient_id": [f"IP_{number // 3:07d}" for number in lesion],
        **{column: rng.choice(words, count) for column, words in WORDS.items()},
    }
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    (folder / "ISIC_0000000.jpg").write_bytes(b"")


def inspected_as(records: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make up what inspection and measurement would find."""
    count = len(records)
    base = rng.integers(0, 256, (10_000, 32), dtype=np.uint8)
    hashes = base[rng.integers(0, len(base), count)]
    for part in np.array_split(hashes, max(count // 10_000, 1)):
        part ^= np.packbits(rng.random((len(part), 256), dtype=np.float32) < FLIPPED, axis=1)
    text = hashes.tobytes().hex()
    found = {
        "sha256": [hashlib.sha256(name.encode()).hexdigest() for name in records["image_id"]],
        "phash": [text[64 * row : 64 * row + 64] for row in range(count)],
        "width": 600,
        "height": 450,
    }
    tones = {
        "image_id": records["image_id"],
        "ita_degrees": rng.normal(40, 15, count),
        "ita_iqr": 3.0,
        "tone_group": rng.choice(["light", "brown", "dark", "unknown"], count),
        "tone_source": "ita",
    }
    return conform(records.assign(**found), INSPECTED_DTYPES), conform(pd.DataFrame(tones), TONE_DTYPES)


@pytest.mark.benchmark(group="a million rows")
def test_million_rows(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    count = MILLION if request.config.getoption("benchmark_enable") else FEW
    rng = np.random.default_rng(0)
    write_export(tmp_path, count, rng)
    config = DataEngineeringConfig()
    sources: dict[str, Any] = {}

    def harmonise() -> pd.DataFrame:
        sources["archive"] = open_source("archive", {"layout": "isic_archive", "role": "train", "path": str(tmp_path)})
        return nodes.read_sources(sources, config, 0)

    with PeakMemory() as memory:
        records = harmonise()
        inspected, tones = inspected_as(records, rng)
        made: dict[str, Any] = {}

        def run() -> None:
            records = harmonise()
            clusters = nodes.link_duplicates(sources, inspected, config)
            made["manifest"] = nodes.assign_splits(inspected, tones, clusters, config, 0)
            nothing = pd.DataFrame({column: pd.Series(dtype="str") for column in QUARANTINE_COLUMNS})
            made["report"] = nodes.report_data(sources, records, made["manifest"], nothing, config)

        benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["peak memory in GB"] = round(memory.peak / 1e9, 2)
    assert made["report"]["images"] == len(made["manifest"]) == count
    assert made["manifest"]["patient_id"].nunique() >= made["manifest"]["duplicate_cluster"].nunique()
    assert made["manifest"].groupby("patient_id")["split"].nunique().max() == 1
    assert memory.peak < 4e9
