"""A timm network with one logit, its input scaling, its calibration and its threshold in one place."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dermdit_kedro.atomic import write_json
from dermdit_kedro.diagnosis.parameters import ClassifierCard, ClassifierConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.training.weight_files import load_module, save_module

WEIGHTS, CARD = "model.safetensors", "config.json"
UNTRAINED = "untrained.json"
"""In the folder of an arm that could not be trained: why."""


class Classifier(nn.Module):
    """A binary classifier of images.

    Args:
        backbone: A timm model with one output.
        card: What it is and how its output is read.
    """

    def __init__(self, backbone: nn.Module, card: ClassifierCard) -> None:
        super().__init__()
        self.backbone, self.card = backbone, card
        self.register_buffer("mean", torch.tensor(card.mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(3, 1, 1) * 255, persistent=False)

    def forward(self, images: Shaped[Tensor, "n 3 h w"]) -> Tensor:
        """Return the uncalibrated logits of images in [0, 255], (n,)."""
        device = next(self.backbone.parameters()).device
        scaled = (images.to(device).float() - self.mean) / self.std
        # channels_last is 1.4 times as fast; the weights stay as they are, so that a resumed run equals a whole one
        logits: Tensor = self.backbone(scaled.contiguous(memory_format=torch.channels_last))
        return logits[:, 0]

    @torch.inference_mode()
    def predict_proba(self, images: Shaped[Tensor, "n 3 h w"]) -> Tensor:
        """Return calibrated scores of the positive label, in [0, 1].

        Args:
            images: uint8, at the size it was trained on.

        Returns:
            float32 (n,) on the CPU; the same for an image whatever shares its batch, up to rounding.
        """
        self.eval()
        return torch.sigmoid(self(images).float() / self.card.temperature).cpu()


def create_classifier(config: ClassifierConfig, image_size: int, seed: int) -> Classifier:
    """Build a classifier to be trained; call `torch.manual_seed` before for a reproducible start.

    Args:
        config: Architecture and first weights.
        image_size: Side of the images in pixels.
        seed: The seed it will be trained with; recorded.

    Returns:
        The classifier, with threshold 0.5 and temperature 1.

    Raises:
        UserError: If timm does not know the architecture or the weights cannot be had.
    """
    from timm.data import resolve_model_data_config

    from_hub = config.pretrained == "hub"
    try:
        backbone = _create(config.architecture, image_size, pretrained=from_hub, drop_rate=config.drop_rate)
    except (OSError, RuntimeError, ValueError) as error:
        hint = " Set `pretrained` to a local safetensors file or to null where there is no network." if from_hub else ""
        raise UserError(f"timm could not build the classifier {config.architecture!r}: {error}.{hint}") from error
    if config.pretrained and not from_hub:
        backbone = _load_pretrained(backbone, Path(config.pretrained), config, image_size)
    scaling = resolve_model_data_config(backbone)
    card = ClassifierCard(
        architecture=config.architecture,
        image_size=image_size,
        mean=config.mean or scaling["mean"],
        std=config.std or scaling["std"],
        label_name=config.label_name,
        seed=seed,
    )
    return Classifier(backbone, card)


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write weights and card.

    Args:
        classifier: A trained classifier.
        folder: Where `model.safetensors` and `config.json` go.
    """
    save_module(folder / WEIGHTS, classifier.backbone)
    write_json(folder / CARD, classifier.card.model_dump(mode="json"))


def load_classifiers(folder: ModelFolder) -> list[Classifier]:
    """Load every classifier of a folder, in the order of their seeds.

    Args:
        folder: Holds `seed_<k>/` for each classifier, or one classifier itself.

    Returns:
        The classifiers in eval mode, on a GPU where accelerate finds one.

    Raises:
        UserError: If the folder holds none.
    """
    from accelerate import PartialState

    device, loaded = PartialState().device, []
    for path in _classifier_folders(folder):
        card = _read_card(path)
        classifier = Classifier(_create(card.architecture, card.image_size), card)
        load_module(path / WEIGHTS, classifier.backbone)
        loaded.append(classifier.to(device).eval())
    return loaded


def read_cards(folder: ModelFolder) -> list[ClassifierCard]:
    """Return the cards of the classifiers of a folder, in the order of `load_classifiers`."""
    return [_read_card(path) for path in _classifier_folders(folder)]


def _classifier_folders(folder: ModelFolder) -> list[Path]:
    folders = sorted((file.parent for file in folder.path.glob(f"seed_*/{CARD}")), key=lambda p: int(p.name[5:]))
    if not folders and (folder.path / CARD).is_file():
        folders = [folder.path]
    if not folders:
        raise UserError(f"expected a classifier ({CARD} and {WEIGHTS}, or seed_<k>/ with them) in {folder.path}")
    return folders


def _read_card(folder: Path) -> ClassifierCard:
    return ClassifierCard.model_validate(json.loads((folder / CARD).read_text()))


def _create(architecture: str, image_size: int, **options: Any) -> nn.Module:
    import timm

    known = timm.get_pretrained_cfg(architecture)  # transformers are built for a size, convolutions take any
    size = {"img_size": image_size} if known is not None and known.fixed_input_size else {}
    model: nn.Module = timm.create_model(architecture, num_classes=1, **size, **options)
    return model


def _load_pretrained(backbone: nn.Module, file: Path, config: ClassifierConfig, image_size: int) -> nn.Module:
    """Load everything but the head, whose shape belongs to another task; timm fits position embeddings to the size."""
    if not file.is_file():
        raise UserError(f"classifier.pretrained must be null, `hub` or a safetensors file. {file} does not exist")
    given = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}, "drop_rate": config.drop_rate}
    own = backbone.state_dict()
    try:
        with safe_open(file, framework="pt") as weights:
            missing = [name for name in own if name not in weights.keys()]  # noqa: SIM118
        if len(missing) > 2:
            raise UserError(
                f"{file} lacks {len(missing)} of the model's {len(own)} tensors, the first is {missing[0]!r}"
            )
        return _create(config.architecture, image_size, **given)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(
            f"classifier.pretrained: {file} does not hold weights of {config.architecture!r}: {error}"
        ) from error


def choose_threshold(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Choose the threshold with the highest balanced accuracy, (sensitivity + specificity) / 2.

    Args:
        scores: Scores in [0, 1], one an image.
        labels: True labels.

    Returns:
        The middle between the lowest score called positive and the next one below, so that rounding does not
        move a decision; 0.5 where only one label occurs.
    """
    from sklearn.metrics import roc_curve

    scores, labels = np.asarray(scores, dtype="float64"), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        return 0.5
    false_positive_rate, true_positive_rate, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    best = 1 + int(np.argmax((true_positive_rate - false_positive_rate)[1:]))
    below = thresholds[best + 1] if best + 1 < len(thresholds) else 0.0
    return float((thresholds[best] + below) / 2)


def fit_temperature(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Fit the temperature that gives the lowest log loss (Guo et al. 2017, section 4.2).

    Args:
        logits: Uncalibrated logits, one an image.
        labels: True labels.

    Returns:
        A temperature in [0.05, 20]; 1 where only one label occurs.
    """
    from scipy.optimize import minimize_scalar

    logits, labels = np.asarray(logits, dtype="float64"), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        return 1.0
    signed = np.where(labels, logits, -logits)

    def loss(log_t: float) -> float:
        return float(np.logaddexp(0, -signed * np.exp(-log_t)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))
