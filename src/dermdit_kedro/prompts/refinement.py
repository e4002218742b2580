"""An instruction rewritten by a language model, once (section 2.1); the result is a file one can read and keep."""

import asyncio
import hashlib
import logging

from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.captioners import Answer
from dermdit_kedro.prompts.chat_client import ChatClient, event_loop
from dermdit_kedro.prompts.instructions import check_template
from dermdit_kedro.prompts.parameters import RefinementConfig

logger = logging.getLogger(__name__)

_LONGEST_ANSWER = 600
_REQUEST = (
    "Improve the instruction between the lines of dashes. It is given to a vision-language model together with the "
    "image of a skin lesion, once for each image, and makes it write the caption from which an image generator "
    "learns. Keep its meaning and every rule in it. Keep each of these fields exactly once, braces included: "
    "{fields}. Use no other braces. Answer with the new instruction alone.\n---\n{template}\n---"
)


def refine(template: str, config: RefinementConfig) -> dict[str, str]:
    """Have an instruction rewritten.

    Args:
        template: The text, with its fields.
        config: Who rewrites it.

    Returns:
        The new text by the first 12 digits of its sha256.

    Raises:
        UserError: If nobody is named to rewrite it, there is no answer, or the answer lost a field.
    """
    if config.model is None or config.server is None:
        raise UserError(
            "instruction_refinement must name a model and a server, as in --params "
            "instruction_refinement.model=llama3,instruction_refinement.server.url=http://localhost:11434/v1"
        )
    client = ChatClient(config.server, config.model, _LONGEST_ANSWER)
    logger.warning("the instruction %s is sent to %s, model %s", config.instruction, client.host, config.model)
    fields = ", ".join(field for field in ("{facts}", "{view}", "{words}") if field in template)
    with event_loop() as loop:
        request = _REQUEST.format(fields=fields, template=template)
        answer = asyncio.run_coroutine_threadsafe(_ask(client, request), loop).result()
    if not answer.text:
        raise UserError(f"{client.host} did not rewrite the instruction: {answer.error or 'an empty answer'}")
    refined = check_template(f"that {config.model} wrote", answer.text.strip('-` "'))
    name = hashlib.sha256(refined.encode()).hexdigest()[:12]
    logger.warning("conf/instructions/%s.txt has the new text; name it with prompt_set.instruction: '%s'", name, name)
    return {name: refined + "\n"}


async def _ask(client: ChatClient, text: str) -> Answer:
    async with client.session() as session:
        return await client.ask(session, text)
