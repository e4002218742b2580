from pathlib import Path

import pytest
import yaml

from dermdit_kedro.pipelines.prompting import create_pipeline, create_refinement_pipeline
from dermdit_kedro.prompts.parameters import PromptSetConfig, TextEncoderConfig, TextEncoderTraining

# a data set named `<prompt set>.<data set>` is meant as a namespace; a namespace here names an owner, not a block
pytestmark = [
    pytest.mark.filterwarnings("ignore:One or more dataset names contain:UserWarning"),
    pytest.mark.filterwarnings("ignore:Namespace .* is interrupted:UserWarning"),
]

CONF = Path(__file__).parents[3] / "conf" / "base" / "prompting"


def test_the_graph_takes_what_data_engineering_makes_and_gives_the_contract():
    pipeline = create_pipeline(("five_attributes", "two_attributes"))
    assert {name for name in pipeline.inputs() if not name.startswith("params:")} == {
        "manifest", "images", "work_dir", "instruction_templates", "five_attributes.captions",
        "two_attributes.captions",
    }  # fmt: skip
    for prompt_set in ("five_attributes", "two_attributes"):
        for name in (
            "instructions",
            "drafts",
            "controls",
            "prompts",
            "prompt_audit",
            "prompt_audit_figure",
            "text_embeddings",
        ):
            assert f"{prompt_set}.{name}" in pipeline.all_outputs()
    assert "text_encoder" in pipeline.all_outputs()
    assert len(pipeline.nodes) == 9


def test_nodes_are_named_by_their_functions():
    assert {node.name for node in create_pipeline().nodes} == {
        "train_text_encoder", "five_attributes.write_instructions", "five_attributes.generate_prompts",
        "five_attributes.audit_prompts", "five_attributes.encode_prompts",
    }  # fmt: skip


def test_the_prompt_set_the_text_encoder_learns_from_cannot_be_left_out():
    with pytest.raises(ValueError, match="five_attributes"):
        create_pipeline(("two_attributes",))


def test_every_output_is_in_the_catalog():
    entries = yaml.safe_load((CONF / "catalog.yml").read_text())
    patterns = {name.rsplit(".", 1)[-1] for name in entries}
    made = create_pipeline().all_outputs() | create_refinement_pipeline().all_outputs()
    assert {name.rsplit(".", 1)[-1] for name in made} | {"instruction_templates", "captions"} == patterns


def test_the_committed_parameters_are_valid():
    blocks = yaml.safe_load((CONF / "parameters.yml").read_text())
    assert PromptSetConfig(**blocks["two_attributes"]["prompt_set"]).attributes == ("is_malignant", "tone_group")
    assert len(PromptSetConfig(**blocks["five_attributes"]["prompt_set"]).attributes) == 5
    assert TextEncoderConfig(**blocks["text_encoder"]).pretrained is None
    TextEncoderTraining(**blocks["text_encoder_training"])
    wanted = {f"params:{name}" for name in ("text_encoder", "text_encoder_training", "five_attributes.prompt_set")}
    assert wanted <= create_pipeline().inputs()
