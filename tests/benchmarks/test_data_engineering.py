"""What the checks and the bookkeeping cost beside a bare loop over the same images on the same cores.

`uv run pytest tests/benchmarks --benchmark-enable --benchmark-only` measures on HAM10000 where it is in
`data/01_raw/ham10000`, else on phantoms of its size. The suite runs each once, on a few phantoms.
"""

import hashlib
import io
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from dermdit_kedro.dermoscopy.decoding import decode_image
from dermdit_kedro.dermoscopy.layouts import Source, open_source
from dermdit_kedro.dermoscopy.parallel import count_workers
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.dermoscopy.skin_tone import measure_skin_tone
from dermdit_kedro.pipelines.data_engineering import nodes

CONFIG = DataEngineeringConfig()
SIZE = 256
ROUNDS = 3


def bare_hash(path: Path) -> tuple[str, str]:
    """Decode and hash one image."""
    content = path.read_bytes()
    image = Image.open(io.BytesIO(content)).convert("RGB")
    return hashlib.sha256(content).hexdigest(), str(imagehash.phash(image, hash_size=16))


def bare_prepare(folder: Path, path: Path) -> None:
    """Decode, resize and encode one image."""
    image = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    image.save(folder / f"{path.stem}.png", compress_level=1)


def bare_measure(path: Path) -> float:
    """Decode one image and measure the tone of its skin."""
    image = decode_image(path.read_bytes(), CONFIG.max_pixels)
    return measure_skin_tone(np.asarray(image), CONFIG.skin_tone).ita_degrees


def bare_loop(function: Callable[[Path], Any], paths: list[Path]) -> list[Any]:
    """Work through the images on all cores, as one would by hand; forked, so that it starts at once."""
    if len(paths) < 100:  # in the suite, whose process has threads: a lock that one holds stays locked in a fork
        return [function(path) for path in paths]
    with multiprocessing.get_context("fork").Pool(count_workers(0)) as pool:
        return list(pool.imap(function, paths, chunksize=16))


@pytest.fixture(scope="module")
def source(root: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """HAM10000 or phantoms of its size, written as files."""
    real = root / "data" / "01_raw" / "ham10000"
    measuring = request.config.getoption("benchmark_enable")
    if measuring and real.is_dir():
        return open_source("images", {"layout": "ham10000", "role": "train", "path": str(real)})
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 2000 if measuring else 12)


def write_phantoms(folder: Path, count: int) -> Source:
    """Write phantoms as JPEG with a table of their names."""
    phantoms = open_source("p", {"layout": "phantom", "role": "train", "num_images": count, "size": 200})
    for index in range(count):
        Image.open(io.BytesIO(phantoms.read_bytes(f"{index}.png"))).save(folder / f"{index}.jpg")
    pd.DataFrame({"image": [str(index) for index in range(count)], "label": 0}).to_csv(
        folder / "table.csv", index=False
    )
    options = {"path": str(folder), "table": "table.csv", "columns": {"image": "image", "is_malignant": "label"}}
    return open_source("images", {"layout": "table", "role": "train", **options})


@pytest.fixture(scope="module")
def records(source: Source) -> pd.DataFrame:
    return source.records()


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """A new folder for every round."""
    return (tmp_path / str(number) for number in range(10**6))


def paths_of(source: Any, records: pd.DataFrame) -> list[Path]:
    return [source.root / file for file in records["file"]]


def with_hashes(source: Any, records: pd.DataFrame) -> pd.DataFrame:
    return records.assign(sha256=[hashlib.sha256(path.read_bytes()).hexdigest() for path in paths_of(source, records)])


def measure(benchmark: BenchmarkFixture, function: Callable[[Path], Any], folders: Iterator[Path]) -> Any:
    """Measure a function of a new folder; return what its last round returned."""

    def setup() -> tuple[tuple[Path], dict[str, Any]]:
        folder = next(folders)
        folder.mkdir()
        return (folder,), {}

    return benchmark.pedantic(function, setup=setup, rounds=ROUNDS)


@pytest.mark.benchmark(group="inspect")
def test_inspect_bare(benchmark: BenchmarkFixture, source: Source, records: pd.DataFrame, folders: Any) -> None:
    found = measure(benchmark, lambda _: bare_loop(bare_hash, paths_of(source, records)), folders)
    assert len(found) == len(records)


@pytest.mark.benchmark(group="inspect")
def test_inspect_images(benchmark: BenchmarkFixture, source: Source, records: pd.DataFrame, folders: Any) -> None:
    run = partial(nodes.inspect_images, {"images": source}, records, CONFIG)
    inspected, quarantine = measure(benchmark, run, folders)
    assert len(inspected) + len(quarantine) == len(records)


@pytest.mark.benchmark(group="prepare")
def test_prepare_bare(benchmark: BenchmarkFixture, source: Source, records: pd.DataFrame, folders: Any) -> None:
    paths, made = paths_of(source, records), []
    measure(benchmark, lambda folder: made.append(folder) or bare_loop(partial(bare_prepare, folder), paths), folders)
    assert len(list(made[-1].glob("*.png"))) == len(records)


@pytest.mark.benchmark(group="prepare")
def test_prepare_images(benchmark: BenchmarkFixture, source: Source, records: pd.DataFrame, folders: Any) -> None:
    manifest = with_hashes(source, records)
    run = partial(nodes.prepare_images, {"images": source}, manifest, CONFIG, SIZE)
    prepared = measure(benchmark, run, folders)
    assert len(prepared.index()) == len(records)


@pytest.mark.benchmark(group="measure")
def test_measure_by_threads(benchmark: BenchmarkFixture, source: Source, records: pd.DataFrame, folders: Any) -> None:
    def run(_: Path) -> list[float]:
        with ThreadPoolExecutor(count_workers(0)) as pool:
            return list(pool.map(bare_measure, paths_of(source, records)))

    assert len(measure(benchmark, run, folders)) == len(records)


@pytest.mark.benchmark(group="measure")
def test_measure_skin_tone(benchmark: BenchmarkFixture, source: Source, records: pd.DataFrame, folders: Any) -> None:
    images = with_hashes(source, records)
    run = partial(nodes.measure_skin_tone, {"images": source}, images, CONFIG)
    assert len(measure(benchmark, run, folders)) == len(records)
