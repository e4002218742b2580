"""Features of images by a network, as a job."""

from pathlib import Path

import pandas as pd

from dermdit_kedro.handles import Features, Folder, ImageFolder, ModelFolder, fingerprint_weights
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.metrics.parameters import ExtractorConfig


def extract_features(
    work_dir: Path,
    name: str,
    images: ImageFolder,
    files: pd.DataFrame,
    extractor: ExtractorConfig,
    launch_config: LaunchConfig,
    inception: ModelFolder | None = None,
) -> Features:
    """Extract the features of some images of a folder, or find them where it was done before.

    Args:
        work_dir: The folder of all work folders.
        name: What the job is called.
        images: The folder.
        files: Columns image_id, file.
        extractor: The network.
        launch_config: Where it runs.
        inception: The network's weights, where `extractor` is `finetuned`.

    Returns:
        The features, in the order of `files`.
    """
    inputs: dict[str, Folder | pd.DataFrame] = {"images": images, "files": files.reset_index(drop=True)}
    if inception is not None:
        inputs["inception"] = inception
    config = {"extractor": extractor, "weights": fingerprint_weights(extractor.weights)}
    job = create_job(work_dir, name, "dermdit_kedro.metrics.features", config=config, inputs=inputs)
    launch(job, launch_config)
    return job.handle(Features)
