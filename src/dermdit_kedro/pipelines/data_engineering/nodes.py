"""Nodes of data_engineering: sources -> manifest, quarantine, images, report."""

from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.atomic import mend
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import create_job


def read_sources(sources: dict[str, Any], data_engineering: DataEngineeringConfig, seed: int) -> pd.DataFrame:
    """Read the records of every source, harmonised.

    Args:
        sources: Name -> source.
        data_engineering: `max_images` keeps a seeded subset of lesions of each source.
        seed: Seed of the subset.

    Returns:
        Records, dtypes `RECORD_DTYPES`.
    """
    from dermdit_kedro.dermoscopy.records import RECORDS_SCHEMA
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
    sources: dict[str, Any], records: pd.DataFrame, data_engineering: DataEngineeringConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode every image once; hash the whole ones, set the others aside with a reason.

    Args:
        sources: Name -> source.
        records: Harmonised records.
        data_engineering: Bound on pixels, threads.

    Returns:
        Records of whole images with sha256, phash, width, height; and the quarantine.

    Raises:
        UserError: If no image is whole.
    """
    from dermdit_kedro.dermoscopy.inspect import inspect_records

    whole, quarantine = inspect_records(sources, records, data_engineering.max_pixels, data_engineering.num_workers)
    if whole.empty:
        first = quarantine.iloc[0].to_dict() if len(quarantine) else "no record at all"
        raise UserError(
            f"at least one image must be readable; all {len(quarantine)} are in quarantine, such as {first}"
        )
    return whole, quarantine


def measure_skin_tone(
    sources: dict[str, Any], inspected: pd.DataFrame, data_engineering: DataEngineeringConfig
) -> pd.DataFrame:
    """Estimate the skin tone of every image from its pixels; an expert's skin type, where there is one, wins.

    Args:
        sources: Name -> source.
        inspected: Records of whole images.
        data_engineering: `skin_tone`, threads.

    Returns:
        image_id, ita_degrees, ita_iqr, tone_group, tone_source.
    """
    import numpy as np

    from dermdit_kedro.dermoscopy.decoding import decode_image
    from dermdit_kedro.dermoscopy.parallel import work_through
    from dermdit_kedro.dermoscopy.records import settle_tones
    from dermdit_kedro.dermoscopy.skin_tone import measure_skin_tone as measure

    def look(item: tuple[str, str, str]) -> dict[str, Any]:
        image_id, source, file = item
        image = decode_image(sources[source].read_bytes(file), data_engineering.max_pixels)
        tone = measure(np.asarray(image), data_engineering.skin_tone)
        return {
            "image_id": image_id,
            "ita_degrees": tone.ita_degrees,
            "ita_iqr": tone.ita_iqr,
            "group": tone.tone_group,
        }

    items = list(inspected[["image_id", "source", "file"]].itertuples(index=False, name=None))
    rows = work_through(look, items, len(items), "measure skin tone", data_engineering.num_workers)
    measured = pd.DataFrame(list(rows))
    said = inspected[["fitzpatrick_skin_type", "expert_tone_group"]].reset_index(drop=True)
    settled = settle_tones(said["fitzpatrick_skin_type"], said["expert_tone_group"], measured.pop("group"))
    return pd.concat([measured, settled], axis=1)


def link_duplicates(inspected: pd.DataFrame, data_engineering: DataEngineeringConfig) -> pd.DataFrame:
    """Join images of one patient, one lesion or one picture into clusters.

    Args:
        inspected: Records of whole images with their hashes.
        data_engineering: `near_duplicate_distance`.

    Returns:
        image_id, duplicate_cluster.
    """
    from dermdit_kedro.dermoscopy.linking import link_images

    clusters = link_images(inspected, data_engineering.near_duplicate_distance)
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
    from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, MANIFEST_SCHEMA, conform

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
        data_engineering: `resize_mode`, bound on pixels, threads.
        image_size: Side in pixels.
        work_dir: The folder of all work folders; a rerun writes what is missing.

    Returns:
        The folder, one file `<image_id>.png` an image.
    """
    from dermdit_kedro.dermoscopy.decoding import decode_image
    from dermdit_kedro.dermoscopy.images import build_image_index, resize_image, write_png
    from dermdit_kedro.dermoscopy.parallel import work_through

    mode = data_engineering.resize_mode
    job = create_job(
        work_dir,
        "prepare_images",
        __name__,
        config={"image_size": image_size, "resize_mode": mode},
        inputs={"images": manifest[["image_id", "sha256"]]},
    )

    def write(item: tuple[str, str, str]) -> None:
        image_id, source, file = item
        path = job.result / f"{image_id}.png"
        if not path.is_file():
            image = decode_image(sources[source].read_bytes(file), data_engineering.max_pixels)
            write_png(path, resize_image(image, image_size, mode))

    if not job.is_complete:
        mend(job.result)
        items = list(manifest[["image_id", "source", "file"]].itertuples(index=False, name=None))
        for _ in work_through(write, items, len(items), "prepare images", data_engineering.num_workers):
            pass
        build_image_index(job.result)
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
    return summarise_data(layouts, records, manifest, quarantine, data_engineering.skin_tone)


def draw_data_report(data_report: dict[str, Any]) -> str:
    """Draw the data report as a page for people.

    Args:
        data_report: What `report_data` counted.

    Returns:
        One HTML document that needs no network.
    """
    from dermdit_kedro.report.data_page import render_data_page

    return render_data_page(data_report)
