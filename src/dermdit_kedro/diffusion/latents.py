"""Latents cached once: mean and log-variance in half precision, as is and mirrored.

Run as a child: encodes the images of a job with its autoencoder.
"""

import json
import math
import os
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dermdit_kedro.atomic import atomic_file, write_json
from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, Latents, ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.progress import Progress

BATCH_SIZE = 32
"""Images encoded at a time."""


class LatentStack:
    """Cached latents, read where they are asked for: memory does not grow with their number.

    Rows are read, not mapped: the pages of a map would count as this process's memory, as far as it has come.

    Args:
        latents: A finished folder.

    Raises:
        UserError: If the file is shorter than its header says.
    """

    def __init__(self, latents: Latents) -> None:
        file = latents.path / "moments.npy"
        try:
            moments = np.load(file, mmap_mode="r")
        except ValueError as error:
            raise UserError(
                f"the cached latents must be whole. {file} is not ({error}). Delete {latents.path} and run `kedro run "
                "--pipeline generative_training` again"
            ) from error
        self._length, _, _, c, h, w = moments.shape
        self.shape: tuple[int, int, int] = (c, h, w)
        self._start, self._dtype = int(moments.offset), moments.dtype
        self._file = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self.scaling_factor = float(json.loads((latents.path / "latents.json").read_text())["scaling_factor"])

    def __len__(self) -> int:
        return self._length

    def _moments(self, row: int, mirrored: int) -> "np.ndarray[Any, Any]":
        """Read (mean, log-variance) of one latent, float16 (2, c, h, w)."""
        shape = (2, *self.shape)
        size = math.prod(shape) * self._dtype.itemsize
        content = os.pread(self._file, size, self._start + (2 * row + mirrored) * size)
        return np.frombuffer(content, self._dtype).reshape(shape)

    def sample(self, rows: Tensor, mirrored: Tensor, noise: Tensor) -> Tensor:
        """Sample posteriors, scaled to unit variance.

        Args:
            rows: int64 (b,), rows of the cache.
            mirrored: bool (b,), whether to take the mirrored twin.
            noise: Standard normal (b, c, h, w); zeros give the mean.

        Returns:
            float32 (b, c, h, w): scaling_factor (mean + exp(logvar / 2) noise).
        """
        twins = [int(twin) for twin in mirrored.tolist()]
        picked = np.stack([self._moments(row, twin) for row, twin in zip(rows.tolist(), twins, strict=True)])
        moments = torch.from_numpy(picked).to(noise.device).float()
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
    autoencoder.to(PartialState().device, memory_format=torch.channels_last)
    examples = job.table("examples")
    stack = ImageStack(job.input("images", ImageFolder), list(examples["file"]))
    progress = Progress("encode latents", len(stack))
    first = encode(autoencoder, stack[[0]])
    with atomic_file(job.result / "moments.npy") as aside, aside.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(stack), *first.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for rows in torch.arange(len(stack)).split(BATCH_SIZE):
            file.write(encode(autoencoder, stack[rows]).numpy().astype("<f2").tobytes())
            progress.advance(len(rows))
    index = examples[["image_id"]].assign(row=range(len(examples)))
    index.to_parquet(job.result / "index.parquet", index=False)
    write_json(job.result / "latents.json", {"scaling_factor": float(autoencoder.config.scaling_factor)})
    job.complete()


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
