"""Sources to a manifest that can be trusted and images of one size."""

from dermdit_kedro.pipelines.data_engineering.pipeline import create_pipeline

__all__ = ["create_pipeline"]
