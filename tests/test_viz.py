"""What Kedro-Viz makes of the graph: boxes, layers, and something to see in every entry."""

from typing import Any

import pytest
from kedro_viz.data_access.managers import DataAccessManager
from kedro_viz.integrations.kedro.data_loader import load_data
from kedro_viz.server import populate_data
from tests.conftest import copy_project

from dermdit_kedro.pipeline_registry import ARMS, VARIANTS

FIVE = {"data_engineering", "prompting", "generative_training", "synthesis", "fairness_evaluation"}
LAYERS = [
    "raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "evaluation", "reporting"
]  # fmt: skip
UNSEEN = {"instruction_templates", "refined_instructions"}
"""Folders of text files, which Kedro-Viz has no preview for."""


@pytest.fixture(scope="module")
def viz(tmp_path_factory: pytest.TempPathFactory) -> DataAccessManager:
    """Kedro-Viz with the graphs of a project in which nothing has run."""
    folder = copy_project(tmp_path_factory.mktemp("viz") / "project")
    catalog, pipelines, extras = load_data(folder, "base", False, None, None, False)
    manager = DataAccessManager()
    populate_data(manager, catalog, pipelines, extras)
    return manager


def test_no_pipeline_loses_its_layers(viz: DataAccessManager) -> None:
    """Kedro-Viz shows none at all where two are before one another, of which boxes are part as well as nodes."""
    orders = {}
    for pipeline in viz.registered_pipelines.as_list():
        viz.create_modular_pipelines_tree_for_registered_pipeline(pipeline.id)
        orders[pipeline.id] = viz.get_sorted_layers_for_registered_pipeline(pipeline.id)
    assert [name for name, order in orders.items() if sorted(order) != sorted(LAYERS)] == []
    assert orders["__default__"] == orders["tables"] == LAYERS


@pytest.mark.parametrize("name", ["__default__", "tables"])
def test_the_graph_opens_as_five_boxes(viz: DataAccessManager, name: str) -> None:
    tree = viz.create_modular_pipelines_tree_for_registered_pipeline(name)
    kinds = {kind: {child.id for child in tree["__root__"].children if child.type == kind} for kind in ("task", "data")}
    assert {child.id for child in tree["__root__"].children if child.type == "modularPipeline"} == FIVE
    assert kinds["task"] == set()
    assert {f"fairness_evaluation.{arm}" for arm in ARMS} <= set(tree)
    variants = [variant.name for variant in VARIANTS] if name == "tables" else ["dermdit"]
    for part in ("generative_training", "synthesis", "fairness_evaluation"):
        assert {f"{part}.{variant}" for variant in variants} <= set(tree)


def test_every_entry_has_a_layer_and_something_to_see(viz: DataAccessManager) -> None:
    entries: list[Any] = [node for node in viz.nodes.as_list() if node.type == "data"]
    assert len(entries) > 100
    assert [node.name for node in entries if not node.layer] == []
    assert {node.name for node in entries if not hasattr(node.kedro_obj, "preview")} == UNSEEN


def test_every_node_says_what_it_does(viz: DataAccessManager) -> None:
    tasks = [node.kedro_obj for node in viz.nodes.as_list() if node.type == "task"]
    assert [task.name for task in tasks if not (task.func.__doc__ or "").strip()] == []
