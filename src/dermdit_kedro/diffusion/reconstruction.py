"""What an autoencoder loses: error and Fréchet distance of reconstructions of held-out images, by tone group."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.metrics.extractors import build_extractor
from dermdit_kedro.metrics.feature_distances import frechet_distance
from dermdit_kedro.metrics.parameters import ExtractorConfig
from dermdit_kedro.progress import Progress
from dermdit_kedro.seeds import stable_seed

EXTRACTOR = ExtractorConfig(name="efficientnet_lite0", image_size=96)
"""Whose features the distance is measured on; it trains nothing."""
MAX_IMAGES = 1000
"""Most images on each side of a Fréchet distance."""
MIN_IMAGES = 100
"""Fewer images on a side, and the distance is not stated."""
BATCH_SIZE = 32
"""Images at a time."""
HOW_TO_READ = {
    "psnr": "peak signal-to-noise ratio of the reconstructions, mean over the held-out images, in dB; higher is nearer",
    "by_tone_group": "the same PSNR, in dB, for the held-out images of each tone group",
    "frechet_distance": "value: from held-out images to their reconstructions. No unit; lower is nearer. Meant to be "
    "read against floor, the distance from as many held-out images to training images (real against real), and against "
    "no distance with another name, image_size or n",
}
"""What a report's figures are, for whoever opens the file."""


@torch.no_grad()
def reconstruct(autoencoder: Any, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Encode images, decode the posterior means.

    Args:
        autoencoder: Encoder and decoder.
        images: Any images of a size it takes.

    Returns:
        Images in [-1, 1], where the autoencoder is.
    """
    pixels = to_float(images).to(autoencoder.device)
    sample: Tensor = autoencoder.decode(autoencoder.encode(pixels).latent_dist.mean).sample
    return sample.clamp(-1, 1)


def reconstruction_psnr(autoencoder: Any, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
    """Measure the peak signal-to-noise ratio of reconstructions, image by image.

    Args:
        autoencoder: Encoder and decoder; the posterior mean is decoded.
        images: What to reconstruct.

    Returns:
        PSNR in dB on the 8-bit range: 10 log10(255^2 / MSE).
    """
    error = ((reconstruct(autoencoder, images).cpu() - to_float(images)) * 127.5).square().flatten(1).mean(1)
    return 10 * torch.log10(255.0**2 / error.clamp_min(1e-10))


def measure_reconstruction(
    autoencoder: Any, stacks: Mapping[str, ImageStack], tone_groups: Mapping[str, Sequence[str]], seed: int
) -> dict[str, Any]:
    """Report PSNR and Fréchet distance on held-out images, over all and per estimated tone group.

    Args:
        autoencoder: Encoder and decoder.
        stacks: The images of `train` and `val`; those of `val` trained nothing.
        tone_groups: Tone group of each.
        seed: Picks the images of the distance.

    Returns:
        `psnr` with value (mean of the images' dB), n and split; `by_tone_group`, the same for each group;
        `frechet_distance`, see `measure_distance`; and `how_to_read`, in words.
    """
    held_out = stacks["val"]
    progress = Progress("measure the autoencoder", len(held_out))
    values = []
    for rows in torch.arange(len(held_out)).split(BATCH_SIZE):
        values.append(reconstruction_psnr(autoencoder, held_out[rows]))
        progress.advance(len(rows))
    table = pd.DataFrame({"tone_group": list(tone_groups["val"]), "psnr": torch.cat(values).tolist()})
    groups = {
        str(name): {"value": float(part.mean()), "n": len(part)} for name, part in table.groupby("tone_group")["psnr"]
    }
    return {
        "psnr": {"value": float(table["psnr"].mean()), "n": len(table), "split": "val"},
        "by_tone_group": groups,
        "frechet_distance": measure_distance(autoencoder, stacks, tone_groups, seed),
        "how_to_read": HOW_TO_READ,
    }


def measure_distance(
    autoencoder: Any, stacks: Mapping[str, ImageStack], tone_groups: Mapping[str, Sequence[str]], seed: int
) -> dict[str, Any]:
    """Report the Fréchet distance of held-out images to their reconstructions, over all and per tone group.

    Beside it stands the floor: the distance of as many held-out images to as many training images. The
    reconstructions are of the very images they are compared with, so a faithful autoencoder comes below the floor.

    Args:
        autoencoder: Encoder and decoder.
        stacks: The images of `train` and `val`.
        tone_groups: Tone group of each.
        seed: Picks the images where there are more than `MAX_IMAGES`.

    Returns:
        name, image_size (at which the features are taken), split, value, floor, n, and `by_tone_group`; value and
        floor are null, with a reason, where there are fewer than `MIN_IMAGES` images of either kind.
    """
    extractor = build_extractor(EXTRACTOR)
    rows = {split: _pick(len(stack), stable_seed(seed, "distance", split)) for split, stack in stacks.items()}
    tones = {split: np.asarray(tone_groups[split])[picked.numpy()] for split, picked in rows.items()}
    compared = _compared(tones["train"], tones["val"])
    rows["train"], tones["train"] = rows["train"][torch.from_numpy(compared)], tones["train"][compared]
    progress = Progress("measure the reconstructions' distance", sum(map(len, rows.values())))
    parts: dict[str, list[NDArray[np.float32]]] = {"train": [], "val": [], "redrawn": []}
    for split in ("train", "val"):
        for some in rows[split].split(BATCH_SIZE):
            images = stacks[split][some]
            parts[split].append(extractor(images).numpy())
            if split == "val":
                drawn = ((reconstruct(autoencoder, images) + 1) * 127.5).round().byte()
                parts["redrawn"].append(extractor(drawn).numpy())
            progress.advance(len(some))
    features = {name: np.concatenate(part) for name, part in parts.items()}
    by_tone = {}
    for tone in sorted(set(tones["val"])):
        ours, others = tones["val"] == tone, tones["train"] == tone
        by_tone[str(tone)] = _distance(features["val"][ours], features["redrawn"][ours], features["train"][others])
    return {
        "name": f"fd_{extractor.name}", "image_size": EXTRACTOR.image_size, "split": "val",
        **_distance(features["val"], features["redrawn"], features["train"]), "by_tone_group": by_tone,
    }  # fmt: skip


def _pick(count: int, seed: int) -> Tensor:
    """Pick at most `MAX_IMAGES` positions in random order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:MAX_IMAGES]


def _compared(train: NDArray[Any], val: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which training images a floor needs: the first as many as are held out, over all and of each tone group."""
    place = pd.Series(train).groupby(train).cumcount().to_numpy()
    held_out = pd.Series(val).value_counts()
    wanted = pd.Series(train).map(held_out).fillna(0).to_numpy()
    return (np.arange(len(train)) < len(val)) | (place < wanted)


def _distance(
    real: Float[NDArray[Any], "n d"], redrawn: Float[NDArray[Any], "n d"], others: Float[NDArray[Any], "m d"]
) -> dict[str, Any]:
    n = min(len(real), len(others))
    if n < MIN_IMAGES:
        reason = f"fewer than {MIN_IMAGES} held-out or training images"
        return {"value": None, "floor": None, "n": n, "reason": reason}
    return {"value": frechet_distance(real[:n], redrawn[:n]), "floor": frechet_distance(real[:n], others[:n]), "n": n}
