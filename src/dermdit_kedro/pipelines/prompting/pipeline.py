"""Wiring of prompting: a namespace for each prompt set, one text encoder for all."""

from collections.abc import Callable, Sequence
from typing import Any

from kedro.pipeline import Node, Pipeline

from dermdit_kedro.pipelines.prompting.nodes import (
    audit_prompts,
    encode_prompts,
    generate_prompts,
    refine_instruction,
    train_text_encoder,
    write_instructions,
)
from dermdit_kedro.pipelines.variants import GPU

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
            tags=GPU,
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
    made = {kind: f"{name}.{kind}" for kind in ("instructions", "drafts", "controls", "prompts")}
    told = {"manifest": "manifest", "instruction_templates": "instruction_templates", **config}
    asked = {"manifest": "manifest", "images": "images", "instructions": made["instructions"], "seed": "params:seed"}
    asked["captions"] = f"{name}.captions"
    judged = {"drafts": made["drafts"], "controls": made["controls"], "manifest": "manifest"}
    audited = [made["prompts"], f"{name}.prompt_audit", f"{name}.prompt_audit_figure"]
    steps: tuple[tuple[Callable[..., Any], dict[str, str], str | list[str]], ...] = (
        (write_instructions, told, made["instructions"]),
        (generate_prompts, {**asked, **config, **launched}, [made["drafts"], made["controls"]]),
        (audit_prompts, {**judged, **config, **encoder}, audited),
        (encode_prompts, {"prompts": made["prompts"], **launched, **encoder}, f"{name}.text_embeddings"),
    )
    return Pipeline(
        [
            Node(
                step,
                inputs,
                outputs,
                name=step.__name__,
                namespace=name,
                tags=GPU if "launch_config" in inputs else None,
            )
            for step, inputs, outputs in steps
        ]
    )
