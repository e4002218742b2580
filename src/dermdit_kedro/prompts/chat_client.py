"""A client of chat completions as OpenAI's API has them: vLLM, llama.cpp, Ollama, or a hosted server.

What fails for a while is asked again with growing pauses: a busy server (429), a failing one (5xx), a lost
connection, an answer that is no JSON. What fails for good is an answer that says so, and never ends the run;
a server that takes no request at all does.
"""

import asyncio
import base64
import ipaddress
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import tenacity

from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.captioners import Answer
from dermdit_kedro.prompts.parameters import ServerConfig

_BUSY = frozenset({408, 409, 425, 429})
_REFUSES_ALL = frozenset({401, 403, 404, 405})
_LONGEST_PAUSE_S = 30.0
_GREETING_S = 10.0
_PAUSES = tenacity.wait_random_exponential(multiplier=0.25, max=_LONGEST_PAUSE_S)


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread of its own: the caller's may have one that runs already, as in a notebook.

    Yields:
        The loop, for `asyncio.run_coroutine_threadsafe`; what is still under way at the end is cancelled.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _TryAgainError(Exception):
    """An attempt that failed for now; `pause_s` is the server's own wish, None where it has none."""

    def __init__(self, cause: str, pause_s: float | None = None) -> None:
        super().__init__(cause)
        self.pause_s = pause_s


class ChatClient:
    """One server and one model on it.

    Args:
        config: Where the server is and how it is treated.
        model: The server's name of the model.
        max_tokens: Longest answer.

    Raises:
        UserError: If the server cannot be reached, or wants a key that is not there.
    """

    def __init__(self, config: ServerConfig, model: str, max_tokens: int) -> None:
        self.config, self.model, self.max_tokens = config, model, max_tokens
        self.host = urlsplit(config.url).netloc
        self._headers = {"Authorization": f"Bearer {_key(config)}"} if config.api_key_variable else {}
        self._failures = 0
        with event_loop() as loop:
            asyncio.run_coroutine_threadsafe(self._greet(), loop).result()

    def session(self) -> aiohttp.ClientSession:
        """Open a session; proxies of the environment are used for other machines, never for this one."""
        return aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=self.config.max_concurrency),
            timeout=aiohttp.ClientTimeout(total=self.config.timeout_s),
            trust_env=not _is_here(self.host),
        )

    async def ask(self, session: aiohttp.ClientSession, text: str, png: bytes | None = None) -> Answer:
        """Ask until there is an answer, or `max_attempts` are used up.

        Args:
            session: Of `session`.
            text: The instruction.
            png: The image; None for none.

        Returns:
            The answer, or why there is none.

        Raises:
            UserError: If the server refuses every request, or fails `max_failures` in a row.
        """
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if png is not None:
            url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        body = {
            "model": self.model, "messages": [{"role": "user", "content": content}], "max_tokens": self.max_tokens,
            "temperature": 0, "seed": 0,
        }  # fmt: skip
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_TryAgainError),
            stop=tenacity.stop_after_attempt(self.config.max_attempts),
            wait=_pause,
            reraise=True,
        )
        try:
            answer: Answer = await attempts(self._send, session, body)
        except _TryAgainError as error:
            self._failures += 1
            if self._failures >= self.config.max_failures:
                raise UserError(
                    f"captioner.server {self.host} failed {self._failures} requests in a row, the last one with: "
                    f"{error}. What was answered is kept; run again when the server is well"
                ) from error
            return Answer("", error=f"{error} ({self.config.max_attempts} attempts)")
        self._failures = 0
        return answer

    async def _send(self, session: aiohttp.ClientSession, body: dict[str, Any]) -> Answer:
        address = f"{self.config.url.rstrip('/')}/chat/completions"
        try:
            async with session.post(address, json=body, allow_redirects=False) as response:
                text = await response.text(errors="replace")
        except TimeoutError as error:
            raise _TryAgainError(f"no answer within {self.config.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _TryAgainError(f"the connection failed: {error or type(error).__name__}") from error
        status, short = response.status, " ".join(text.split())[:200]
        if status in _BUSY or status >= 500:
            raise _TryAgainError(f"HTTP {status} {short}".strip(), _wished_pause(response))
        if status in _REFUSES_ALL or 300 <= status < 400:
            raise UserError(
                f"captioner.server {self.host} refuses requests for model {self.model!r} with HTTP {status}: {short}. "
                "Check captioner.model, captioner.server.url (it often ends in /v1) and the key"
            )
        if status != 200:
            return Answer("", error=f"HTTP {status} {short}".strip())
        return _read(text)

    async def _greet(self) -> None:
        """Refuse a server that is not there before the first image is sent."""
        wait = aiohttp.ClientTimeout(total=min(self.config.timeout_s, _GREETING_S))
        try:
            address = f"{self.config.url.rstrip('/')}/models"
            async with self.session() as session, session.get(address, timeout=wait) as response:
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UserError(
                f"captioner.server.url must be a server that answers. Got {self.config.url}: "
                f"{error or type(error).__name__}. Start the server, or give backend `template`"
            ) from error
        if status in (401, 403):
            raise UserError(
                f"captioner.server {self.host} refuses the key (HTTP {status}); captioner.server.api_key_variable is "
                f"{self.config.api_key_variable!r}"
            )


def _key(config: ServerConfig) -> str:
    key = os.environ.get(str(config.api_key_variable), "").strip()
    if not key:
        raise UserError(
            f"captioner.server.api_key_variable must name an environment variable that holds the key. "
            f"{config.api_key_variable} is not set"
        )
    return key


def _is_here(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _wished_pause(response: aiohttp.ClientResponse) -> float | None:
    wish = response.headers.get("Retry-After", "")
    return min(float(wish), 10 * _LONGEST_PAUSE_S) if wish.isdigit() else None


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_PAUSES(state), error.pause_s or 0.0 if isinstance(error, _TryAgainError) else 0.0)


def _read(text: str) -> Answer:
    """Read a chat completion."""
    try:
        choice = json.loads(text)["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, LookupError, TypeError) as error:
        raise _TryAgainError(f"an answer that is no chat completion: {' '.join(text.split())[:80]!r}") from error
    if not isinstance(content, str | None):
        raise _TryAgainError(f"an answer whose content is no text but {type(content).__name__}")
    return Answer(" ".join((content or "").split()), is_cut=choice.get("finish_reason") == "length")
