"""Networks of others, each behind the resizing and scaling that its features are known by."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from dermdit_kedro.errors import UserError


class ScaledBackbone(nn.Module):
    """A timm network without its head, behind its own resizing and scaling.

    Args:
        backbone: The network.
        image_size: Side in pixels it takes images at.
        mean: Channel means its input is centred by, of values in [0, 1].
        std: Channel standard deviations its input is divided by.
    """

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


class ClipImages(nn.Module):
    """The image half of a CLIP model, as CMMD takes it: bicubic resizing, embeddings of length 1.

    Args:
        folder: A model folder of transformers.
    """

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


class TorchFidelityInception(nn.Module):
    """The Inception-v3 that FID is defined with; it resizes by itself as the original TensorFlow graph does.

    Args:
        weights: torch-fidelity's file of its weights.

    Raises:
        UserError: If the file holds more than tensors, or not that network's.
    """

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
