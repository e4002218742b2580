import pytest
from tests.prompts.captioning_jobs import DEFAULT
from tests.prompts.captioning_server import CaptioningServer

from dermdit_kedro.errors import UserError
from dermdit_kedro.pipelines.prompting.nodes import refine_instruction
from dermdit_kedro.prompts.instructions import check_template
from dermdit_kedro.prompts.parameters import RefinementConfig, ServerConfig

TEMPLATES = {"default": lambda: DEFAULT}


def refined_by(server: CaptioningServer, answer: str) -> dict[str, str]:
    server.says = answer
    config = RefinementConfig(model="captioner", server=ServerConfig(url=server.url))
    return refine_instruction(TEMPLATES, config)


def test_the_new_text_is_named_by_its_content_and_can_be_filled_in():
    with CaptioningServer() as server:
        result = refined_by(server, "```\nSay {facts}. Then describe the {view} in {words} words.\n```")
        (body,) = server.bodies
    ((name, text),) = result.items()
    assert check_template(name, text) == "Say {facts}. Then describe the {view} in {words} words."
    assert len(name) == 12
    (part,) = body["messages"][0]["content"]
    assert DEFAULT in part["text"]
    assert "{facts}, {view}, {words}" in part["text"]


def test_a_text_that_lost_the_facts_is_refused():
    with CaptioningServer() as server, pytest.raises(UserError, match=r"'that captioner wrote' must hold \{facts\}"):
        refined_by(server, "Describe the {view}.")


def test_an_empty_answer_is_refused():
    with CaptioningServer() as server, pytest.raises(UserError, match="an empty answer"):
        refined_by(server, " ")


def test_nobody_to_ask_is_said_before_anything_is_sent():
    with pytest.raises(UserError, match=r"instruction_refinement\.model=llama3"):
        refine_instruction(TEMPLATES, RefinementConfig())
