"""The pipelines by name; `kedro run` runs all five for the default variant and every arm."""

from kedro.pipeline import Pipeline

from dermdit_kedro.pipelines import (
    data_engineering,
    fairness_evaluation,
    generative_training,
    prompting,
    synthesis,
)
from dermdit_kedro.pipelines.variants import DEFAULT_VARIANT, Variant

VARIANTS = (
    Variant("ldm", prompt_set=None),
    Variant("dit", prompt_set=None),
    Variant("ldm_llava", prompt_set="two_attributes"),
    Variant("dit_llava", prompt_set="two_attributes"),
    Variant("dermdit", prompt_set="five_attributes"),
)
"""The generators of Table 1, in its order; the paper's own is the default."""

ARMS = ("real", "synthetic", "real_plus_synthetic", "real_oversampled", "real_group_thresholds")
"""What the diagnosis classifier is trained on and how it decides; `report.baseline_arm` is what the
others are compared with."""


def register_pipelines() -> dict[str, Pipeline]:
    """Return the pipelines by name.

    Returns:
        The five pipelines for the default variant, `table1` over all variants with Figure 2, `table2` over the arms,
        `tables` with both and the report of all, `refine_instructions`, and `__default__`.
    """
    default = tuple(variant for variant in VARIANTS if variant.name == DEFAULT_VARIANT)
    five = _five(default)
    upstream = five["data_engineering"] + five["prompting"] + five["generative_training"] + five["synthesis"]
    everything = upstream + five["fairness_evaluation"]
    all_variants = sum(_five(VARIANTS).values(), Pipeline([]))
    rows_of_1 = _within("fairness_evaluation", fairness_evaluation.create_table1_pipeline(VARIANTS))
    rows_of_2 = _within("fairness_evaluation", fairness_evaluation.create_table2_pipeline(ARMS))
    table1 = (all_variants + rows_of_1).to_outputs("table1", *fairness_evaluation.IMAGE_FIGURES)
    table2 = (everything + rows_of_2).to_outputs("table2", "verdict")
    refinement = prompting.create_refinement_pipeline()
    return {
        **five, "table1": table1, "table2": table2, "tables": all_variants + rows_of_1 + rows_of_2,
        "refine_instructions": refinement, "__default__": everything,
    }  # fmt: skip


def _five(variants: tuple[Variant, ...]) -> dict[str, Pipeline]:
    prompt_sets = tuple(sorted({"five_attributes", *(v.prompt_set for v in variants if v.prompt_set)}))
    five = {
        "data_engineering": data_engineering.create_pipeline(),
        "prompting": prompting.create_pipeline(prompt_sets),
        "generative_training": generative_training.create_pipeline(variants),
        "synthesis": synthesis.create_pipeline(variants),
        "fairness_evaluation": fairness_evaluation.create_pipeline(variants, ARMS, prompt_sets),
    }
    return {name: _within(name, pipeline) for name, pipeline in five.items()}


def _within(name: str, pipeline: Pipeline) -> Pipeline:
    """Group the nodes under a name, a box of Kedro-Viz; what they read and write keeps its name."""
    return Pipeline(pipeline, namespace=name, prefix_datasets_with_namespace=False)
