"""Wiring of fairness_evaluation: shared networks, a namespace for each variant and each arm, tables, report."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from dermdit_kedro.pipelines.fairness_evaluation.autoencoder_nodes import measure_autoencoder
from dermdit_kedro.pipelines.fairness_evaluation.further_nodes import score_by_further_networks
from dermdit_kedro.pipelines.fairness_evaluation.image_nodes import (
    extract_features,
    extract_real_features,
    score_images,
    train_inception,
)
from dermdit_kedro.pipelines.fairness_evaluation.nodes import (
    compare_arms,
    join_table1,
    join_table2,
    predict,
    score_diagnosis,
    score_fairness,
    train_classifier,
    write_verdict,
)
from dermdit_kedro.pipelines.fairness_evaluation.reporting import create_reporting_pipeline
from dermdit_kedro.pipelines.variants import DEFAULT_VARIANT, GPU, MEASURE, REPORT, SCORE, Variant, bind

JUDGE = "real"
"""The arm whose classifiers say what label a synthetic image shows."""

_IMAGES = {"images": "images", "manifest": "manifest"}
_WORK = {"launch_config": "params:launch", "work_dir": "work_dir"}
_RUN = {"image_size": "params:image_size", "seed": "params:seed"}
_REAL = ("train_features", "held_out_features", "finetuned_train_features", "finetuned_held_out_features")


def create_pipeline(variants: Sequence[Variant], arms: Sequence[str], prompt_sets: Sequence[str]) -> Pipeline:
    """Wire the pipeline.

    Args:
        variants: The generators whose images are measured.
        arms: What classifiers are trained on; `real` must be among them, it is the judge.
        prompt_sets: The prompt sets the report tells of.

    Returns:
        The shared nodes, a namespace for each variant and each arm, and the report.
    """
    shared = [
        Node(
            train_inception,
            {
                **_IMAGES, **_RUN, **_WORK, "inception": "params:inception",
                "classifier_training": "params:classifier_training",
            },
            "inception",
            name="train_inception",
            tags=GPU,
        ),
        Node(
            extract_real_features,
            {**_IMAGES, **_WORK, "inception_folder": "inception", "extractor": "params:extractor"},
            ["held_out_features", "finetuned_train_features", "finetuned_held_out_features"],
            name="extract_real_features",
            tags=MEASURE,
        ),
    ]  # fmt: skip
    parts = [_variant(variant.name) for variant in variants] + [_arm(arm) for arm in arms]
    return sum(parts, Pipeline(shared)) + _judgement(arms) + create_reporting_pipeline(variants, arms, prompt_sets)


def create_table1_pipeline(variants: Sequence[Variant]) -> Pipeline:
    """Wire Table 1.

    Args:
        variants: Its rows.

    Returns:
        One node.
    """
    inputs = {"report": "params:report", **{variant.name: f"{variant.name}.image_metrics" for variant in variants}}
    return Pipeline([Node(join_table1, inputs, "table1", name="join_table1", tags=REPORT)])


def create_table2_pipeline(arms: Sequence[str]) -> Pipeline:
    """Wire Table 2.

    Args:
        arms: What it compares.

    Returns:
        One node.
    """
    inputs = {"report": "params:report", "arm_comparison": "arm_comparison", **_of_each(arms, "diagnosis_metrics")}
    return Pipeline([Node(join_table2, inputs, "table2", name="join_table2", tags=REPORT)])


def _judgement(arms: Sequence[str]) -> Pipeline:
    """Wire what needs every arm: the comparison with the baseline and the verdict."""
    compared = {"group_fairness": "params:group_fairness", "report": "params:report", **_of_each(arms, "predictions")}
    compared |= {f"{arm}.arm": f"params:{arm}.arm" for arm in arms}
    judged = {"arm_comparison": "arm_comparison", **_of_each(arms, "diagnosis_metrics", "group_fairness")}
    return Pipeline(
        [
            Node(compare_arms, compared, "arm_comparison", name="compare_arms", tags=SCORE),
            Node(write_verdict, judged, "verdict", name="write_verdict", tags=REPORT),
        ]
    )


def _of_each(arms: Sequence[str], *kinds: str) -> dict[str, str]:
    return {f"{arm}.{kind}": f"{arm}.{kind}" for arm in arms for kind in kinds}


def _variant(name: str) -> Pipeline:
    features = [f"{name}.synthetic_features", f"{name}.finetuned_features"]
    return Pipeline(
        [
            _further(name),
            Node(
                extract_features,
                {
                    **_WORK,
                    "synthetic_images": f"{name}.synthetic_images",
                    "inception_folder": "inception",
                    "extractor": "params:extractor",
                },
                features,
                name="extract_features",
                namespace=name,
                tags=MEASURE,
            ),
            _autoencoder(name),
            _score(name, features),
        ]
    )


def _score(name: str, features: Sequence[str]) -> Node:
    return Node(
        bind(score_images, variant_name=name, judge_name=JUDGE),
        {
            **_IMAGES,
            **_RUN,
            "synthetic_images": f"{name}.synthetic_images",
            "synthetic_manifest": f"{name}.synthetic_manifest",
            **{real: real for real in _REAL},
            "synthetic_features": features[0],
            "finetuned_features": features[1],
            "further_metrics": f"{name}.further_metrics",
            "autoencoder_metrics": f"{name}.autoencoder_metrics",
            "judge": f"{JUDGE}.classifier",
            "image_quality": "params:image_quality",
        },
        f"{name}.image_metrics",
        name="score_images",
        namespace=name,
        tags=SCORE,
    )


def _autoencoder(name: str) -> Node:
    return Node(
        measure_autoencoder,
        {
            **_IMAGES,
            **_WORK,
            **{real: real for real in _REAL},
            "generator": f"{name}.generator",
            "synthetic_images": f"{name}.synthetic_images",
            "inception_folder": "inception",
            "extractor": "params:extractor",
            "image_quality": "params:image_quality",
            "seed": "params:seed",
        },
        f"{name}.autoencoder_metrics",
        name="measure_autoencoder",
        namespace=name,
        tags=MEASURE,
    )


def _further(name: str) -> Node:
    return Node(
        score_by_further_networks,
        {
            **_IMAGES,
            **_WORK,
            "synthetic_images": f"{name}.synthetic_images",
            "extractor": "params:extractor",
            "image_quality": "params:image_quality",
            "seed": "params:seed",
        },
        f"{name}.further_metrics",
        name="score_by_further_networks",
        namespace=name,
        tags=MEASURE,
    )


def _train(name: str) -> Node:
    return Node(
        bind(train_classifier, arm_name=name),
        {
            **_IMAGES,
            **_RUN,
            **_WORK,
            "synthetic_images": f"{DEFAULT_VARIANT}.synthetic_images",
            "synthetic_manifest": f"{DEFAULT_VARIANT}.synthetic_manifest",
            "arm": f"params:{name}.arm",
            "classifier": "params:classifier",
            "classifier_training": "params:classifier_training",
        },
        f"{name}.classifier",
        name="train_classifier",
        namespace=name,
        tags=GPU,
    )


def _arm(name: str) -> Pipeline:
    measured = {
        "predictions": f"{name}.predictions",
        "arm": f"params:{name}.arm",
        "group_fairness": "params:group_fairness",
        "seed": "params:seed",
    }
    return Pipeline(
        [
            _train(name),
            Node(
                bind(predict, arm_name=name),
                {
                    **_IMAGES,
                    "classifier_folder": f"{name}.classifier",
                    "classifier": "params:classifier",
                    "evaluation": "params:evaluation",
                },
                f"{name}.predictions",
                name="predict",
                namespace=name,
                tags=GPU,
            ),
            *(
                Node(step, measured, f"{name}.{made}", name=step.__name__, namespace=name, tags=SCORE)
                for step, made in ((score_diagnosis, "diagnosis_metrics"), (score_fairness, "group_fairness"))
            ),
        ]
    )
