"""Manifest to prompts, an audit of them, and text embeddings."""

from dermdit_kedro.pipelines.prompting.pipeline import create_pipeline, create_refinement_pipeline

__all__ = ["create_pipeline", "create_refinement_pipeline"]
