"""What a classifier needs, before one is trained."""

from typing import Any

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dermdit_kedro.diagnosis.classifier import create_classifier
from dermdit_kedro.diagnosis.parameters import ClassifierConfig, ClassifierTraining
from dermdit_kedro.training.footprint import RandomImages, Workload
from dermdit_kedro.training.streams import Batch


def classifier_workload(
    config: ClassifierConfig, training: ClassifierTraining, image_size: int, num_train: int
) -> Workload:
    """Describe the training of a classifier.

    Args:
        config: Its architecture; its weights are drawn at random here, wherever they come from.
        training: Epochs, batch, optimizer.
        image_size: Side of the images in pixels.
        num_train: Real training images, which say how many steps there are.

    Returns:
        The workload; images are not turned.
    """
    images = RandomImages(image_size)
    fresh = config.model_copy(update={"pretrained": None})

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        logits = model(images[batch.indices.to(batch.device)])
        return {"loss": binary_cross_entropy_with_logits(logits, (batch.rand(1)[:, 0] < 0.5).float())}

    return Workload(lambda: create_classifier(fresh, image_size, 0), loss, training.for_images(num_train))
