"""Real and synthetic images to image metrics, classifiers, group fairness and the report."""

from dermdit_kedro.pipelines.fairness_evaluation.pipeline import (
    create_pipeline,
    create_table1_pipeline,
    create_table2_pipeline,
)
from dermdit_kedro.pipelines.fairness_evaluation.reporting import IMAGE_FIGURES

__all__ = ["IMAGE_FIGURES", "create_pipeline", "create_table1_pipeline", "create_table2_pipeline"]
