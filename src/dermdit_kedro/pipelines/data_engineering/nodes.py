"""Nodes of data_engineering: sources -> manifest, quarantine, images, report."""

from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.atomic import mend
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import sole_owner


def read_sources(sources: dict[str, Any], data_engineering: DataEngineeringConfig, seed: int) -> pd.DataFrame:
    """Read the records of every source, harmonised.

    Args:
        sources: Name -> source.
        data_engineering: `max_images` keeps a seeded subset of lesions of each source.
        seed: Seed of the subset.

    Returns:
        Records, dtypes `RECORD_DTYPES`.
    """
    from dermdit_kedro.dermoscopy.schemas import RECORDS_SCHEMA
    from dermdit_kedro.dermoscopy.subset import keep_some

    tables = []
    for source in sources.values():
        records = source.records()
        if source.expect is not None and data_engineering.max_images is None:
            source.expect.check(source.name, records)
        tables.append(keep_some(records, data_engineering.max_images, seed))
    validated: pd.DataFrame = RECORDS_SCHEMA.validate(pd.concat(tables, ignore_index=True))
    return validated


def inspect_images(
    sources: dict[str, Any], records: pd.DataFrame, data_engineering: DataEngineeringConfig, work_dir: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode every image once; hash the whole ones, set the others aside with a reason.

    Args:
        sources: Name -> source.
        records: Harmonised records.
        data_engineering: Bound on pixels, processes.
        work_dir: The folder of all work folders; a rerun looks at what is new or has changed.

    Returns:
        Records of whole images with sha256, phash, width, height; and the quarantine.

    Raises:
        UserError: If no image is whole.
    """
    from dermdit_kedro.dermoscopy.inspect import HASH_SIDE, inspect_records
    from dermdit_kedro.dermoscopy.schemas import INSPECTED_SCHEMA, QUARANTINE_SCHEMA

    config = data_engineering
    bounds = {"max_pixels": config.max_pixels, "hash_side": HASH_SIDE}
    job = create_job(work_dir, "inspect_images", __name__, config=bounds)
    with sole_owner(job):
        whole, quarantine = inspect_records(sources, records, config.max_pixels, config.num_workers, job.result)
    if whole.empty:
        first = quarantine.iloc[0].to_dict() if len(quarantine) else "no record at all"
        raise UserError(
            f"at least one image must be readable; all {len(quarantine)} are in quarantine, such as {first}"
        )
    return INSPECTED_SCHEMA.validate(whole), QUARANTINE_SCHEMA.validate(quarantine)


def measure_skin_tone(
    sources: dict[str, Any], inspected: pd.DataFrame, data_engineering: DataEngineeringConfig, work_dir: Path
) -> pd.DataFrame:
    """Estimate the skin tone of every image from its pixels; an expert's skin type, where there is one, wins.

    Args:
        sources: Name -> source.
        inspected: Records of whole images.
        data_engineering: `skin_tone`, bound on pixels, processes.
        work_dir: The folder of all work folders; a rerun measures what is new or has changed.

    Returns:
        image_id, ita_degrees, ita_iqr, tone_group, tone_source.
    """
    from dermdit_kedro.dermoscopy.preparing import measure_tones
    from dermdit_kedro.dermoscopy.schemas import TONES_SCHEMA

    config = {"skin_tone": data_engineering.skin_tone, "max_pixels": data_engineering.max_pixels}
    job = create_job(work_dir, "measure_skin_tone", __name__, config=config)
    with sole_owner(job):
        tones: pd.DataFrame = TONES_SCHEMA.validate(measure_tones(sources, inspected, data_engineering, job.result))
    return tones


def link_duplicates(
    sources: dict[str, Any], inspected: pd.DataFrame, data_engineering: DataEngineeringConfig
) -> pd.DataFrame:
    """Join images of one patient, one lesion or one picture into clusters.

    Args:
        sources: Name -> source; all their rows join, those without a whole image and those left out too.
        inspected: Records of whole images with their hashes.
        data_engineering: `near_duplicate_distance`.

    Returns:
        image_id, duplicate_cluster.
    """
    from dermdit_kedro.dermoscopy.linking import link_images

    records = pd.concat([source.records() for source in sources.values()], ignore_index=True)
    clusters = link_images(records, inspected, data_engineering.near_duplicate_distance)
    return pd.DataFrame({"image_id": inspected["image_id"], "duplicate_cluster": clusters})


def assign_splits(
    inspected: pd.DataFrame,
    tones: pd.DataFrame,
    clusters: pd.DataFrame,
    data_engineering: DataEngineeringConfig,
    seed: int,
) -> pd.DataFrame:
    """Deal clusters out to train, val and test, and refuse any leak.

    Args:
        inspected: Records of whole images.
        tones: Their estimated tone.
        clusters: Their clusters.
        data_engineering: Shares of val and test.
        seed: Seed of the deal.

    Returns:
        The manifest.
    """
    from dermdit_kedro.dermoscopy import splits
    from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, conform
    from dermdit_kedro.dermoscopy.schemas import MANIFEST_SCHEMA

    joined = inspected.merge(tones, on="image_id", validate="one_to_one")
    joined = joined.merge(clusters, on="image_id", validate="one_to_one")
    split = splits.assign_splits(joined, data_engineering.val_share, data_engineering.test_share, seed)
    manifest = conform(joined.assign(split=split), MANIFEST_DTYPES)
    splits.check_splits(manifest)
    validated: pd.DataFrame = MANIFEST_SCHEMA.validate(manifest)
    return validated


def prepare_images(
    sources: dict[str, Any],
    manifest: pd.DataFrame,
    data_engineering: DataEngineeringConfig,
    image_size: int,
    work_dir: Path,
) -> ImageFolder:
    """Write every image of the manifest at one size, as PNG without metadata.

    Args:
        sources: Name -> source.
        manifest: The manifest.
        data_engineering: `resize_mode`, bound on pixels, processes.
        image_size: Side in pixels.
        work_dir: The folder of all work folders; a rerun writes what is missing or new.

    Returns:
        The folder, one file `<image_id>.png` an image.
    """
    from dermdit_kedro.dermoscopy.preparing import write_images

    form = {"image_size": image_size, "resize_mode": data_engineering.resize_mode}
    inputs = {"images": manifest[["image_id", "sha256"]]}
    job = create_job(work_dir, "prepare_images", __name__, config=form, inputs=inputs)
    if not job.is_complete:
        store = create_job(work_dir, "prepared_images", __name__, config=form)
        with sole_owner(store):
            mend(job.result)
            mend(store.result)
            write_images(sources, manifest, data_engineering, image_size, job.result, store.result)
            job.complete()
    return job.handle(ImageFolder)


def report_data(
    sources: dict[str, Any],
    records: pd.DataFrame,
    manifest: pd.DataFrame,
    quarantine: pd.DataFrame,
    data_engineering: DataEngineeringConfig,
) -> dict[str, Any]:
    """Count what there is, what is missing and what was set aside.

    Args:
        sources: Name -> source.
        records: What the sources said.
        manifest: The manifest.
        quarantine: Images set aside.
        data_engineering: `skin_tone`.

    Returns:
        `data_report`.
    """
    from dermdit_kedro.dermoscopy.data_report import summarise_data

    layouts = {name: source.layout for name, source in sources.items()}
    report = summarise_data(layouts, records, manifest, quarantine, data_engineering.skin_tone)
    for name, source in report["sources"].items():
        source["unused_files"] = sources[name].num_unused_files()
    return report


def draw_data_report(data_report: dict[str, Any]) -> str:
    """Draw the data report as a page for people.

    Args:
        data_report: What `report_data` counted.

    Returns:
        One HTML document that needs no network.
    """
    from dermdit_kedro.report.data_page import render_data_page

    return render_data_page(data_report)
