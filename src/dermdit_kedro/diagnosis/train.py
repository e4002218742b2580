"""Train one classifier on a table of examples.

`accelerate launch -m dermdit_kedro.diagnosis.train <job folder>` repeats a run without Kedro.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dermdit_kedro.dermoscopy.images import ImageStack
from dermdit_kedro.diagnosis.classifier import (
    Classifier,
    choose_threshold,
    create_classifier,
    fit_temperature,
    save_classifier,
)
from dermdit_kedro.diagnosis.parameters import ClassifierConfig
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.streams import Batch

CHUNK = 256
"""Images per forward pass where no gradient is needed."""


class ExampleImages:
    """The images of a table of examples, whichever folder each lies in; a file that occurs twice is held once.

    Args:
        job: Has an input folder for each value of the column `folder`.
        examples: Columns folder, file, label.
    """

    def __init__(self, job: Job, examples: pd.DataFrame) -> None:
        self.labels = torch.as_tensor(examples["label"].to_numpy(dtype="float32").copy())
        self._folder, names = pd.factorize(examples["folder"])
        self._position = np.zeros(len(examples), dtype="int64")
        self._stacks = []
        for code, name in enumerate(names):
            here = self._folder == code
            self._position[here], files = pd.factorize(examples.loc[here, "file"])
            self._stacks.append(ImageStack(job.input(str(name), ImageFolder), list(files)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Return the images at some rows, uint8 (b, 3, h, w)."""
        rows = indices.cpu().numpy()
        folders, positions = self._folder[rows], self._position[rows]
        parts = [stack[torch.as_tensor(positions[folders == i])] for i, stack in enumerate(self._stacks)
                 if (folders == i).any()]  # fmt: skip
        order = np.argsort(folders, kind="stable")
        images = torch.cat(parts)
        return images[torch.as_tensor(np.argsort(order, kind="stable"))]


def turn(images: Tensor, choice: Tensor) -> Tensor:
    """Flip and rotate each image by one of the eight symmetries of the square; a lesion has no upright.

    Args:
        images: (b, c, s, s).
        choice: Numbers in [0, 1), (b,); the symmetry is floor(8 x choice).

    Returns:
        The turned images, (b, c, s, s).
    """
    which = (choice * 8).long().clamp(max=7).to(images.device)
    turned = torch.empty_like(images)
    for symmetry in range(8):
        here = which == symmetry
        rotated = torch.rot90(images[here], symmetry % 4, dims=(2, 3))
        turned[here] = rotated.flip(3) if symmetry >= 4 else rotated
    return turned


@torch.no_grad()
def predict_logits(classifier: Classifier, data: ExampleImages) -> Tensor:
    """Return the uncalibrated logits of all examples, float32 (n,), on the CPU."""
    return torch.cat([classifier(data[rows]).float().cpu() for rows in torch.arange(len(data)).split(CHUNK)])


def calibrate(classifier: Classifier, validation: ExampleImages) -> Classifier:
    """Fit the temperature and choose the threshold, both on validation images alone.

    Args:
        classifier: A trained classifier, in eval mode.
        validation: The real validation images.

    Returns:
        The classifier with a new card.
    """
    logits, labels = predict_logits(classifier, validation), validation.labels.numpy() > 0.5
    temperature = fit_temperature(logits.numpy(), labels)
    threshold = choose_threshold(torch.sigmoid(logits / temperature).numpy(), labels)
    classifier.card = classifier.card.model_copy(update={"temperature": temperature, "threshold": threshold})
    return classifier


def main(job: Job) -> None:
    """Train the classifier of a job; the weights with the lowest validation loss are kept and calibrated.

    Args:
        job: Config `classifier`, `training`, `balance`, `image_size`, `seed`; table `examples` (folder, file, label,
            split) and an input folder for each value of its column `folder`.
    """
    from accelerate import PartialState

    state = PartialState()
    config, seed = job.config("classifier", ClassifierConfig), job.config("seed", int)
    training = job.config("training", TrainingConfig)
    examples = job.table("examples")
    data = {str(split): ExampleImages(job, rows) for split, rows in examples.groupby("split")}
    train, validation = data["train"], data.get("val")
    if validation is None:
        training = training.model_copy(update={"use_best": False})
    positives = float(train.labels.mean())
    balanced = job.config("balance", bool) and 0 < positives < 1
    weight = torch.tensor((1 - positives) / positives if balanced else 1.0)
    torch.manual_seed(stable_seed(seed, "classifier"))
    classifier = create_classifier(config, job.config("image_size", int), seed)

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        images = turn(train[batch.indices].to(batch.device), batch.rand(1)[:, 0])
        labels = train.labels[batch.indices.cpu()].to(batch.device)
        return {"loss": binary_cross_entropy_with_logits(model(images), labels, pos_weight=weight.to(batch.device))}

    def validate(model: Any) -> dict[str, float]:
        assert validation is not None
        value = binary_cross_entropy_with_logits(predict_logits(model, validation), validation.labels)
        return {"loss": float(value)}

    trained: Any = fit(
        job, classifier, loss, num_examples=len(train), training=training, seed=seed,
        what=job.spec["name"], validate=validate if validation else None,
    )  # fmt: skip
    if state.is_main_process:
        save_classifier(calibrate(trained, validation) if validation else trained, job.result)
        job.complete()


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
