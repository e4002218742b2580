"""A small server of chat completions on loopback that counts what it is asked, and misbehaves on purpose."""

import asyncio
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

from aiohttp import web

MISBEHAVIOURS = ("slow", "busy", "failing", "empty", "refusing", "broken", "hanging", "closing", "bad")
"""What may happen to a request; all but empty, refusing and bad are well when asked again."""

REFUSAL = "I'm sorry, but I can't describe this image. Please consult a dermatologist."


class CaptioningServer:
    """Answers with the facts of its instruction and three words that follow the image.

    Args:
        misbehaviours: Which of `MISBEHAVIOURS` happen, each to one request of `every`.
        every: Of how many requests one is treated so.
        slots: Requests that are worked on at once; more wait.
        service_s: Seconds that an answer takes.
        models_status: What is answered to the question for the models there are.
    """

    def __init__(
        self,
        misbehaviours: Sequence[str] = (),
        every: int = 30,
        slots: int = 64,
        service_s: float = 0.0,
        models_status: int = 200,
    ) -> None:
        self.misbehaviours, self.every, self.slots, self.service_s = misbehaviours, every, slots, service_s
        self.models_status = models_status
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.after_success: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most_under_way = 0
        self.is_well = True
        self.says: str | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run(started))

    async def _run(self, started: threading.Event) -> None:
        self._stop, self._slots = asyncio.Event(), asyncio.Semaphore(self.slots)
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
        started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "captioner"}]}, status=self.models_status)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answer(request)
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        key = hashlib.sha256(raw).hexdigest()
        self.asked[key] += 1
        if self.answered[key]:
            self.after_success.append(key)
        body = await request.json()
        if len(self.bodies) < 50:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
        if not self.is_well:
            return web.Response(status=503, text="out of order")
        kind = self._misbehaviour(key)
        if self.asked[key] == 1:
            trouble = await self._trouble(kind, request)
            if trouble is not None:
                return trouble
        if kind == "bad":
            return web.json_response({"error": {"message": "this image; is too strange"}}, status=400)
        async with self._slots:
            await asyncio.sleep(self.service_s)
        self.answered[key] += 1
        return web.json_response(_completion(self._text(kind, body)))

    def _text(self, kind: str, body: dict[str, Any]) -> str:
        if self.says is not None:
            return self.says
        return {"empty": "", "refusing": REFUSAL}.get(kind, _describe(body))

    async def _trouble(self, kind: str, request: web.Request) -> web.StreamResponse | None:
        """Misbehave at the first asking."""
        if kind == "slow":
            await asyncio.sleep(0.2)
        if kind == "busy":
            return web.Response(status=429, headers={"Retry-After": "1"}, text="too many requests")
        if kind == "failing":
            return web.Response(status=500, text="<html>internal error</html>")
        if kind == "broken":
            return web.Response(text='{"choices": [{"message": {"content": "a malig', content_type="application/json")
        if kind == "hanging":
            self.under_way -= 1  # the client hangs up; when that is noticed is the network's affair
            try:
                await asyncio.sleep(3600)
            finally:
                self.under_way += 1
        if kind == "closing":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return None

    def _misbehaviour(self, key: str) -> str:
        number = int(key[:8], 16)
        if number % self.every or not self.misbehaviours:
            return "none"
        return self.misbehaviours[number // self.every % len(self.misbehaviours)]


def _describe(body: dict[str, Any]) -> str:
    content = body["messages"][0]["content"]
    facts = re.search(r"word for word: (.*?)\. Then", content[0]["text"])
    digest = hashlib.sha256(str(content[1:]).encode()).hexdigest()
    seen = digest.translate(str.maketrans("0123456789", "qrstuvwxyz"))
    return f"{facts[1] if facts else ''}, with {seen[:4]} spots, {seen[4:8]} border"


def _completion(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
