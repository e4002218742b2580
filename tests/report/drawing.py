"""The figures of a report, all of them, as its nodes share them out."""

from typing import Any

from dermdit_kedro.pipelines.fairness_evaluation.reporting import draw_diagnosis_figures, draw_image_figures
from dermdit_kedro.report.parameters import ReportConfig


def figures_of(inputs: dict[str, Any], config: ReportConfig | None = None) -> dict[str, Any]:
    """Draw all figures of inputs by catalog name."""
    diagnosis = {name: part for name, part in inputs.items() if name.endswith("diagnosis_metrics")}
    images = {name: part for name, part in inputs.items() if name not in diagnosis}
    return {
        **draw_image_figures(config=config or ReportConfig(), seed=0, **images),
        **draw_diagnosis_figures(inputs["manifest"], **diagnosis),
    }
