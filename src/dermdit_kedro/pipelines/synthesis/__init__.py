"""From a generator to a balanced synthetic set, screened."""

from dermdit_kedro.pipelines.synthesis.pipeline import create_pipeline

__all__ = ["create_pipeline"]
