"""Turn images into feature vectors, once; every distance and every screen reads them.

`accelerate launch -m dermdit_kedro.metrics.features <job folder>` repeats a run without Kedro.
"""

import numpy as np
import torch

from dermdit_kedro.atomic import write_json
from dermdit_kedro.dermoscopy.images import ImageStack
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.metrics.extractors import build_extractor
from dermdit_kedro.metrics.parameters import ExtractorConfig
from dermdit_kedro.progress import Progress

BATCH_SIZE = 64


def main(job: Job) -> None:
    """Extract the features of the images of a job; several processes share them.

    Args:
        job: Config `extractor`; input `images`, table `files` (image_id, file), and input `inception` for
            `finetuned`.

    Raises:
        UserError: If there is no image, or a feature is not a finite number.
    """
    from accelerate import PartialState

    state = PartialState()
    files = job.table("files")
    if files.empty:
        raise UserError(f"{job.spec['name']}: there is no image to extract features from")
    model = job.input("inception", ModelFolder) if job.has_input("inception") else None
    extractor = build_extractor(job.config("extractor", ExtractorConfig), model)
    stack = ImageStack(job.input("images", ImageFolder), list(files["file"]))
    share = torch.arange(len(files))[state.process_index :: state.num_processes]
    progress, parts = Progress(f"extract {extractor.name} features", len(share)), []
    for rows in share.split(BATCH_SIZE) if len(share) else ():
        parts.append(extractor(stack[rows]).numpy())
        progress.advance(len(rows))
    if parts:
        np.save(job.result / f"part_{state.process_index}.npy", np.concatenate(parts), allow_pickle=False)
    state.wait_for_everyone()
    if state.is_main_process:
        _gather(job, extractor.describe(), len(files), state.num_processes)
        files[["image_id"]].to_parquet(job.result / "index.parquet", index=False)
        job.complete()


def _gather(job: Job, about: dict[str, str], count: int, num_processes: int) -> None:
    """Put every process's rows back in their places."""
    parts = {rank: job.result / f"part_{rank}.npy" for rank in range(min(num_processes, count))}
    features = np.empty((count, np.load(parts[0], mmap_mode="r").shape[1]), dtype="float32")
    for rank, part in parts.items():
        features[rank::num_processes] = np.load(part, allow_pickle=False)
        part.unlink()
    if not np.isfinite(features).all():
        raise UserError(
            f"the features by {about['name']} must be finite; its weights may be damaged. Got NaN or infinity"
        )
    np.save(job.result / "features.npy", features, allow_pickle=False)
    write_json(job.result / "features.json", {**about, "dim": int(features.shape[1])})


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
