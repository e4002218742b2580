"""Images and prompts to a generator folder that diffusers loads."""

from dermdit_kedro.pipelines.generative_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
