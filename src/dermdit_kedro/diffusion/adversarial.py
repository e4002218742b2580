"""A patch discriminator, trained in the same optimizer as what it judges (Isola et al. 2017; Esser et al. 2021).

Its loss reaches the discriminator alone and the adversarial loss reaches the image alone, so their sum is one
loss of one optimizer: checkpoints, moving average and resumption know nothing of it.
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import relu


class AdversarialLosses(NamedTuple):
    """Scalars of one batch.

    Attributes:
        discriminator: Hinge loss; its gradient reaches the discriminator's weights alone. 2 where it is blind.
        adversarial: Minus the mean score of the reconstructions; its gradient reaches them alone.
    """

    discriminator: Float[Tensor, ""]
    adversarial: Float[Tensor, ""]


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of an image: high for real ones.

    Args:
        width: Channels of the first of three convolutions; each halves the side, and the next has twice as many.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in (width, 2 * width, 4 * width):
            norm = nn.GroupNorm(8, channels) if layers else nn.Identity()
            layers += [nn.Conv2d(before, channels, 4, stride=2, padding=1), norm, nn.LeakyReLU(0.2)]
            before = channels
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 3, padding=1))

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 a b"]:
        """Return the scores, one for each eighth of the side."""
        scores: Tensor = self.layers(images)
        return scores


def adversarial_losses(
    discriminator: nn.Module, reconstructions: Float[Tensor, "n 3 h w"], images: Float[Tensor, "n 3 h w"]
) -> AdversarialLosses:
    """Let a discriminator and what it judges each have its own loss.

    Args:
        discriminator: Images to scores.
        reconstructions: Images in [-1, 1] that carry a gradient.
        images: The real ones.

    Returns:
        Both losses, to be added.
    """
    real, drawn = discriminator(images), discriminator(reconstructions.detach())
    frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
    return AdversarialLosses(
        discriminator=relu(1 - real).mean() + relu(1 + drawn).mean(),
        adversarial=-functional_call(discriminator, frozen, (reconstructions,)).mean(),
    )
