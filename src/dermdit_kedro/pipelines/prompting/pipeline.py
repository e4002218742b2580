"""Wiring of prompting: a namespace for each prompt set, one text encoder for all."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from dermdit_kedro.pipelines.prompting.nodes import (
    audit_prompts,
    encode_prompts,
    generate_prompts,
    refine_instruction,
    train_text_encoder,
    write_instructions,
)

TEACHER = "five_attributes"
"""The prompt set whose training rows the text encoder is trained on."""


def create_pipeline(prompt_sets: Sequence[str] = (TEACHER,)) -> Pipeline:
    """Wire the pipeline.

    Args:
        prompt_sets: The prompt sets to write; `five_attributes` among them, for the text encoder learns from it.

    Returns:
        The text encoder's node, and a namespace for each prompt set.

    Raises:
        ValueError: If `five_attributes` is not among them.
    """
    if TEACHER not in prompt_sets:
        raise ValueError(f"prompt_sets must hold {TEACHER!r}, which the text encoder learns from. Got {prompt_sets}")
    shared = [
        Node(
            train_text_encoder,
            {
                "drafts": f"{TEACHER}.drafts",
                "images": "images",
                "manifest": "manifest",
                "text_encoder": "params:text_encoder",
                "text_encoder_training": "params:text_encoder_training",
                "seed": "params:seed",
                "launch_config": "params:launch",
                "work_dir": "work_dir",
            },
            "text_encoder",
            name="train_text_encoder",
        )
    ]
    return sum((_prompt_set(name) for name in prompt_sets), Pipeline(shared))


def create_refinement_pipeline() -> Pipeline:
    """Wire the step that has an instruction rewritten; no other pipeline runs it.

    Returns:
        One node, whose result becomes one more of the files it reads from.
    """
    inputs = {
        "instruction_templates": "instruction_templates",
        "instruction_refinement": "params:instruction_refinement",
    }
    return Pipeline([Node(refine_instruction, inputs, "refined_instructions", name="refine_instruction")])


def _prompt_set(name: str) -> Pipeline:
    config = {"prompt_set": f"params:{name}.prompt_set"}
    encoder = {"text_encoder_folder": "text_encoder"}
    launched = {"launch_config": "params:launch", "work_dir": "work_dir"}
    writing = {
        "manifest": "manifest",
        "images": "images",
        "instructions": f"{name}.instructions",
        "seed": "params:seed",
    }
    judged = {"drafts": f"{name}.drafts", "controls": f"{name}.controls", "manifest": "manifest"}
    return Pipeline(
        [
            Node(
                write_instructions,
                {"manifest": "manifest", "instruction_templates": "instruction_templates", **config},
                f"{name}.instructions",
                name="write_instructions",
                namespace=name,
            ),
            Node(
                generate_prompts,
                {**writing, **config, **launched},
                [f"{name}.drafts", f"{name}.controls"],
                name="generate_prompts",
                namespace=name,
            ),
            Node(
                audit_prompts,
                {**judged, **config, **encoder},
                [f"{name}.prompts", f"{name}.prompt_audit", f"{name}.prompt_audit_figure"],
                name="audit_prompts",
                namespace=name,
            ),
            Node(
                encode_prompts,
                {"prompts": f"{name}.prompts", **launched, **encoder},
                f"{name}.text_embeddings",
                name="encode_prompts",
                namespace=name,
            ),
        ]
    )
