"""Real images as the autoencoder of a generator gives them back: the best that any denoiser before it could draw.

Run as a child: encodes and decodes the images of a job.
"""

import torch

from dermdit_kedro.dermoscopy.images import ImageStack, build_image_index, to_uint8, write_png
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.diffusion.reconstruction import BATCH_SIZE, reconstruct
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.progress import Progress


def why_not(generator: ModelFolder) -> str | None:
    """Say why the autoencoder of a generator cannot be asked; one of ours always can.

    Args:
        generator: A generator's folder.

    Returns:
        The reason; None if it can be asked.
    """
    try:
        load_autoencoder(generator.path / "vae")
    except (OSError, ValueError) as error:
        return f"no autoencoder that can be asked is in the generator's folder: {error}"
    return None


def main(job: Job) -> None:
    """Pass the images of a job through an autoencoder, in one process.

    Args:
        job: Inputs `images`, `generator` (whose autoencoder can be asked, see `why_not`) and table `examples` (file).
    """
    from accelerate import PartialState

    autoencoder = load_autoencoder(job.input("generator", ModelFolder).path / "vae").to(PartialState().device)
    stack = ImageStack(job.input("images", ImageFolder), list(job.table("examples")["file"]))
    progress = Progress("pass images through the autoencoder", len(stack))
    for rows in torch.arange(len(stack)).split(BATCH_SIZE):
        for row, image in zip(rows.tolist(), to_uint8(reconstruct(autoencoder, stack[rows])), strict=True):
            write_png(job.result / f"{row:06d}.png", image.permute(1, 2, 0).cpu().numpy())
        progress.advance(len(rows))
    build_image_index(job.result)
    job.complete()


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
