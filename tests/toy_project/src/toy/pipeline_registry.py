"""Two pipelines: one makes a manifest, the other trains on it."""

import signal
from typing import Any

from kedro.pipeline import Pipeline, node
from pydantic import Field

from dermdit_kedro.errors import UserError
from dermdit_kedro.parameters import Parameters


class Interrupting:
    """Is interrupted while it is destroyed, where Python drops what is raised."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Training(Parameters):
    """Parameters of the toy training."""

    max_train_steps: int = Field(gt=0)
    outcome: str = "good"


def read_sources(image_size: int) -> dict[str, Any]:
    """Make the manifest."""
    return {"images": 12, "image_size": image_size}


def train_toy(manifest: dict[str, Any], training: Training) -> dict[str, Any]:
    """Return a curve, or fail the way `outcome` says."""
    if training.outcome == "user_error":
        raise UserError(f"{manifest['images']} images are too few")
    if training.outcome == "bug":
        raise ZeroDivisionError("a bug")
    if training.outcome == "interrupt":
        raise KeyboardInterrupt
    if training.outcome == "interrupt dropped":
        Interrupting()
    if training.outcome == "interrupt while writing":
        from mlflow.tracking._tracking_service.utils import _get_store
        from sqlalchemy import text

        connection = _get_store().engine.connect()
        connection.execute(text("UPDATE runs SET status = status"))
        raise KeyboardInterrupt
    steps = list(range(training.max_train_steps))
    return {"variant": "toy", "steps": steps, "loss": [1 / (step + 1) for step in steps], "first_loss": 1.0}


def write_summary(history: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the summary and a report."""
    summary = {"data": {"kind": "phantoms"}, "diagnosis": {"real": {"test_sets": {"held_out": {}}}}}
    return summary, {"loss": history["loss"]}


def register_pipelines() -> dict[str, Pipeline]:
    """Return the toy pipelines."""
    making = Pipeline([node(read_sources, "params:image_size", "manifest", name="read_sources")])
    training = Pipeline(
        [
            node(train_toy, ["manifest", "params:toy.training"], "toy.training_history", name="train_toy"),
            node(write_summary, "toy.training_history", ["summary", "report"], name="write_summary"),
        ]
    )
    return {"making": making, "training": training, "__default__": making + training}
