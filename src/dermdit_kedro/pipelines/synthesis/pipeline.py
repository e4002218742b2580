"""Wiring of synthesis: shared features and classifier, then plan, images and screens for each variant."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from dermdit_kedro.pipelines.synthesis.nodes import (
    extract_train_features,
    plan_synthesis,
    sample_images,
    screen_images,
    train_screening_classifier,
)
from dermdit_kedro.pipelines.synthesis.set_nodes import publish_set, swap_prompts
from dermdit_kedro.pipelines.variants import GPU, Variant, bind

_REAL = {"images": "images", "manifest": "manifest"}
_WORK = {"launch_config": "params:launch", "work_dir": "work_dir"}
_SET = {
    **{name: name for name in ("synthetic_images", "synthetic_manifest", "screening", "manifest", "data_report")},
    "sampler": "params:sampler",
    "image_size": "params:image_size",
}
_PARAMETERS = ("synthesis", "seed", "image_size", "sampler", "launch", "screening", "extractor", "data_engineering")
"""Blocks that hold for every variant."""


def create_pipeline(variants: Sequence[Variant]) -> Pipeline:
    """Wire the pipeline.

    Args:
        variants: The generators to sample from.

    Returns:
        The shared nodes, and a namespace for each variant.
    """
    shared = [
        Node(
            extract_train_features,
            {**_REAL, **_WORK, "extractor": "params:extractor"},
            "train_features",
            name="extract_train_features",
            tags=GPU,
        ),
        Node(
            train_screening_classifier,
            {
                **_REAL,
                **_WORK,
                "screening_classifier": "params:screening_classifier",
                "classifier_training": "params:classifier_training",
                "image_size": "params:image_size",
                "seed": "params:seed",
            },
            "screening_classifier",
            name="train_screening_classifier",
            tags=GPU,
        ),
    ]
    return sum((_variant(variant) for variant in variants), Pipeline(shared))


def _variant(variant: Variant) -> Pipeline:
    plan = {"manifest": "manifest", "synthesis": "params:synthesis", "seed": "params:seed"}
    inputs = {name: name for name in ("manifest", "images", "work_dir", "train_features", "screening_classifier")}
    inputs["data_report"] = "data_report"
    parameters = {f"params:{name}": f"params:{name}" for name in _PARAMETERS}
    if variant.prompt_set is not None:
        plan |= {"prompts": "prompts", "prompt_set": "params:prompt_set", "synthesis_table": "synthesis_table"}
        inputs["synthesis_table"] = "synthesis_table"
        inputs["prompts"] = f"{variant.prompt_set}.prompts"
        parameters["params:prompt_set"] = f"params:{variant.prompt_set}.prompt_set"
    drawn = {"generator": "generator", "synthesis_plan": "synthesis_plan", "sampler": "params:sampler"}
    screens = {
        "synthetic_images": "synthetic_images",
        "unsupported_groups": "unsupported_groups",
        "train_features": "train_features",
        "screening_classifier_folder": "screening_classifier",
        "screening": "params:screening",
        "extractor": "params:extractor",
        "data_engineering": "params:data_engineering",
    }
    nodes = [
        Node(plan_synthesis, plan, ["synthesis_plan", "unsupported_groups"], name="plan_synthesis"),
        Node(sample_images, {**drawn, **_WORK}, "synthetic_images", name="sample_images", tags=GPU),
        Node(
            bind(screen_images, variant_name=variant.name), {**_REAL, **_WORK, **drawn, **screens},
            ["synthetic_manifest", "screening"], name="screen_images", tags=GPU,
        ),
        Node(bind(publish_set, variant_name=variant.name), {**_SET, **_WORK}, "synthetic_set", name="publish_set"),
    ]  # fmt: skip
    if variant.prompt_set is not None:
        swapped = {"generator": "generator", "manifest": "manifest", "prompt_set": "params:prompt_set"}
        swapped |= {name: screens[name] for name in ("screening_classifier_folder", "data_engineering")}
        swapped |= {name: f"params:{name}" for name in ("prompt_swaps", "synthesis", "sampler", "seed")}
        made = ["prompt_swaps", "prompt_swap_figure"]
        nodes.append(Node(swap_prompts, {**swapped, **_WORK}, made, name="swap_prompts", tags=GPU))
        parameters["params:prompt_swaps"] = "params:prompt_swaps"
    return Pipeline(nodes, namespace=variant.name, inputs=inputs, parameters=parameters)
