"""Latents cached once: mean and log-variance in half precision, as is and mirrored.

Run as a child: encodes the images of a job with its autoencoder.
"""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dermdit_kedro.atomic import atomic_file, write_json
from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.handles import ImageFolder, Latents, ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.progress import Progress

BATCH_SIZE = 32
"""Images encoded at a time."""


class LatentStack:
    """Cached latents, memory-mapped.

    Args:
        latents: A finished folder.
    """

    def __init__(self, latents: Latents) -> None:
        self._moments = np.load(latents.path / "moments.npy", mmap_mode="r")
        self.scaling_factor = float(json.loads((latents.path / "latents.json").read_text())["scaling_factor"])

    def __len__(self) -> int:
        return len(self._moments)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent."""
        _, _, _, c, h, w = self._moments.shape
        return c, h, w

    def sample(self, rows: Tensor, mirrored: Tensor, noise: Tensor) -> Tensor:
        """Sample posteriors, scaled to unit variance.

        Args:
            rows: int64 (b,), rows of the cache.
            mirrored: bool (b,), whether to take the mirrored twin.
            noise: Standard normal (b, c, h, w); zeros give the mean.

        Returns:
            float32 (b, c, h, w): scaling_factor (mean + exp(logvar / 2) noise).
        """
        picked = self._moments[rows.cpu().numpy(), mirrored.cpu().numpy().astype(np.int64)]
        moments = torch.from_numpy(picked.astype(np.float32)).to(noise.device)
        return self.scaling_factor * (moments[:, 0] + torch.exp(0.5 * moments[:, 1]) * noise)


@torch.no_grad()
def encode(autoencoder: Any, images: Tensor) -> Tensor:
    """Encode images and their mirrored twins.

    Args:
        autoencoder: A diffusers `AutoencoderKL`.
        images: uint8 (b, 3, h, w).

    Returns:
        float16 (b, 2, 2, C, h, w): axis 1 is (as is, mirrored), axis 2 is (mean, log-variance).
    """
    pixels = to_float(images).to(autoencoder.device)
    twins = [autoencoder.encode(x).latent_dist for x in (pixels, pixels.flip(-1))]
    return torch.stack([torch.stack([p.mean, p.logvar], 1) for p in twins], 1).half().cpu()


def main(job: Job) -> None:
    """Encode the images of a job in one process.

    Args:
        job: Inputs `images`, `autoencoder` and table `examples` (image_id, file).
    """
    from accelerate import PartialState

    autoencoder: Any = load_autoencoder(job.input("autoencoder", ModelFolder).path)
    autoencoder.to(PartialState().device)
    examples = job.table("examples")
    stack = ImageStack(job.input("images", ImageFolder), list(examples["file"]))
    progress = Progress("encode latents", len(stack))
    first = encode(autoencoder, stack[[0]])
    with atomic_file(job.result / "moments.npy") as aside:
        shape = (len(stack), *first.shape[1:])
        moments = np.lib.format.open_memmap(aside, mode="w+", dtype=np.float16, shape=shape)
        for rows in torch.arange(len(stack)).split(BATCH_SIZE):
            moments[rows.numpy()] = encode(autoencoder, stack[rows]).numpy()
            progress.advance(len(rows))
        moments.flush()
    index = examples[["image_id"]].assign(row=range(len(examples)))
    index.to_parquet(job.result / "index.parquet", index=False)
    write_json(job.result / "latents.json", {"scaling_factor": float(autoencoder.config.scaling_factor)})
    job.complete()


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
