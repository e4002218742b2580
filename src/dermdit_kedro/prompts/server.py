"""A captioner on a server; as many requests are under way at once as the server is given."""

import asyncio
import io
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice

import aiohttp

from dermdit_kedro.prompts.captioners import Answer, Request
from dermdit_kedro.prompts.chat_client import ChatClient, event_loop
from dermdit_kedro.prompts.parameters import CaptionerConfig

logger = logging.getLogger(__name__)


class ServerCaptioner:
    """A vision-language model on a server; the images are sent as PNG without metadata.

    Args:
        config: Model, server, length of the answer.

    Raises:
        UserError: If the server cannot be reached, or wants a key that is not there.
    """

    def __init__(self, config: CaptionerConfig) -> None:
        assert config.server is not None, "the parameters see to it"
        self.config = config
        self._concurrency = config.server.max_concurrency
        self.client = ChatClient(config.server, str(config.model), config.max_new_tokens)
        logger.warning("images and their metadata are sent to %s, model %s", self.client.host, config.model)

    @property
    def source(self) -> str:
        """The server's name of the model, and the revision that the user says it has."""
        return f"{self.config.model}@{self.config.revision}" if self.config.revision else str(self.config.model)

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        """Answer the requests as the server does; at most `max_concurrency` are under way."""
        remaining, under_way = iter(requests), dict[Future[Answer], Request]()
        with event_loop() as loop:
            session = asyncio.run_coroutine_threadsafe(self._open(), loop).result()
            try:
                while True:
                    for request in islice(remaining, self._concurrency - len(under_way)):
                        asked = asyncio.run_coroutine_threadsafe(self._answer(session, request), loop)
                        under_way[asked] = request
                    if not under_way:
                        return
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        yield under_way.pop(future), future.result()
            finally:
                for future in under_way:
                    future.cancel()
                asyncio.run_coroutine_threadsafe(session.close(), loop).result()

    async def _open(self) -> aiohttp.ClientSession:
        return self.client.session()

    async def _answer(self, session: aiohttp.ClientSession, request: Request) -> Answer:
        return await self.client.ask(session, request.instruction, await asyncio.to_thread(_png, request))


def _png(request: Request) -> bytes | None:
    from PIL import Image

    pixels = request.pixels()
    if pixels is None:
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
