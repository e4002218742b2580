"""Wiring of data_engineering."""

from kedro.pipeline import Node, Pipeline

from dermdit_kedro.pipelines.data_engineering.nodes import (
    assign_splits,
    draw_data_report,
    inspect_images,
    link_duplicates,
    measure_skin_tone,
    prepare_images,
    read_sources,
    report_data,
)
from dermdit_kedro.pipelines.variants import REPORT

CONFIG = "params:data_engineering"


def create_pipeline() -> Pipeline:
    """Wire the pipeline.

    Returns:
        The nodes from `sources` to `manifest`, `quarantine`, `images`, `data_report` and its page.
    """
    return Pipeline(
        [
            Node(read_sources, ["sources", CONFIG, "params:seed"], "records", name="read_sources"),
            Node(
                inspect_images,
                ["sources", "records", CONFIG, "work_dir"],
                ["inspected", "quarantine"],
                name="inspect_images",
            ),
            Node(measure_skin_tone, ["sources", "inspected", CONFIG, "work_dir"], "tones", name="measure_skin_tone"),
            Node(link_duplicates, ["sources", "inspected", CONFIG], "clusters", name="link_duplicates"),
            Node(
                assign_splits,
                ["inspected", "tones", "clusters", CONFIG, "params:seed"],
                "manifest",
                name="assign_splits",
            ),
            Node(
                prepare_images,
                ["sources", "manifest", CONFIG, "params:image_size", "work_dir"],
                "images",
                name="prepare_images",
            ),
            Node(
                report_data,
                ["sources", "records", "manifest", "quarantine", CONFIG],
                "data_report",
                name="report_data",
            ),
            Node(draw_data_report, "data_report", "data_report_page", name="draw_data_report", tags=REPORT),
        ]
    )
