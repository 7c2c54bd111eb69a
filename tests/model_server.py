"""A scripted model server on a real socket, for every test that needs an upstream.

It speaks the Responses and the Chat Completions API in the full shapes of the official types,
does what each `Answer` says, and records what it was asked and how the connection ended. It runs
in a thread with its own event loop, so it serves tests in any loop and programs in other processes.

    with ModelServerSimulation() as server:
        server.script(Answer(status=503), Answer(text="Hello."))
        ... OPENAI_BASE_URL=server.url ...
        assert server.requests[0].body["model"] == "test-model"
"""

import asyncio
import base64
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from anyio import to_thread

from tests.llm.model_events import chat_events, responses_events, usage_of

DEFAULT_TEXT = "The sky is blue because air scatters short waves more. 🌈"
WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server does with one request.

    A stream is `text` (or `refusal`) in `pieces`: a number of characters or the pieces themselves.
    `pause_after` holds the answer after so many pieces, -1 before its headers, until `release`.
    `cut_after` closes the connection in the middle after so many pieces, with an RST where `reset`;
    `reset` alone resets before any header. `raw` replaces the stream's bytes, one write an item.
    A `body` is sent whole, as JSON unless it is text or bytes, and any other `status` than 200
    without a body gets OpenAI's form of error.
    """

    text: str = DEFAULT_TEXT
    pieces: int | Sequence[str] = 8
    delay_seconds: float = 0
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    raw: bytes | Sequence[bytes] | None = None
    cut_after: int | None = None
    pause_after: int | None = None
    reset: bool = False
    refusal: str | None = None
    incomplete_reason: str | None = None
    usage: tuple[int, int] = (12, 34)
    omit_terminal: bool = False
    error_event: Mapping[str, Any] | None = None
    gate: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let a held answer go on."""
        self.gate.set()

    def split(self) -> list[str]:
        """Return the pieces of the text or the refusal."""
        whole = self.text if self.refusal is None else self.refusal
        if isinstance(self.pieces, int):
            return [whole[at : at + self.pieces] for at in range(0, len(whole), self.pieces)]
        return list(self.pieces)


@dataclass(slots=True)
class RecordedRequest:
    """One request as it came. `closed` is set when the client hung up before the answer's end."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any
    peer: tuple[str, int]
    closed: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)

    @property
    def pictures(self) -> list[tuple[str, bytes]]:
        """The media type and the bytes of every data URL in the body, in order."""
        return [_decoded(url) for url in _data_urls(self.body)]

    async def wait_closed(self, timeout_seconds: float = WAIT_SECONDS) -> bool:
        """Tell whether the client hung up early, waiting for it."""
        return await to_thread.run_sync(self.closed.wait, timeout_seconds)


Script = Answer | Callable[[RecordedRequest], Answer]


class ModelServerSimulation:
    """The server. `default` answers what no script is left for."""

    def __init__(
        self, *, default: Script | None = None, models: Sequence[str] = ("test-model",)
    ) -> None:
        self.default: Script = default or Answer()
        self.models = list(models)
        self.requests: list[RecordedRequest] = []
        self._scripts: deque[Script] = deque()
        self._held: list[Answer] = []
        self._arrived = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The base URL, as OPENAI_BASE_URL wants it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *answers: Script) -> None:
        """Queue the answers to the next requests that want one."""
        self._scripts.extend(answers)

    def release(self) -> None:
        """Let every held answer go on."""
        for answer in list(self._held):
            answer.release()

    async def wait_for_request(
        self, number: int = 1, timeout_seconds: float = WAIT_SECONDS
    ) -> RecordedRequest:
        """Return the `number`th request, counted from 1, waiting for it."""
        return await to_thread.run_sync(self._wait_for_request, number, timeout_seconds)

    def _wait_for_request(self, number: int, timeout_seconds: float) -> RecordedRequest:
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= number, timeout_seconds):
                raise TimeoutError(f"only {len(self.requests)} of {number} requests came")
            return self.requests[number - 1]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(WAIT_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(WAIT_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        recorded = await _record(request)
        with self._arrived:
            self.requests.append(recorded)
            self._arrived.notify_all()
        try:
            response = await self._answer(request, recorded)
        except (asyncio.CancelledError, ConnectionError):
            recorded.closed.set()
            raise
        recorded.answered.set()
        return response

    async def _answer(self, request: web.Request, recorded: RecordedRequest) -> web.StreamResponse:
        if request.method == "GET" and request.path.endswith("/models") and not self._scripts:
            return web.json_response(_model_list(self.models))
        script = self._scripts.popleft() if self._scripts else self.default
        answer = script(recorded) if callable(script) else script
        self._held.append(answer)
        if answer.pause_after == -1:
            await _wait(answer.gate)
        if answer.reset and answer.cut_after is None:
            _hang_up(request, reset=True)
            raise web.HTTPBadRequest
        if answer.status != 200 or answer.body is not None:
            return _whole(answer)
        return await self._stream(request, recorded, answer)

    async def _stream(
        self, request: web.Request, recorded: RecordedRequest, answer: Answer
    ) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "x-request-id": "req_1"}
        response = web.StreamResponse(headers={**headers, **answer.headers})
        await response.prepare(request)
        for pieces_before, block in _blocks(recorded, answer):
            if pieces_before == answer.cut_after:
                recorded.answered.set()
                _hang_up(request, reset=answer.reset)
                return response
            if pieces_before == answer.pause_after:
                await _wait(answer.gate)
            await response.write(block)
            if answer.delay_seconds:
                await asyncio.sleep(answer.delay_seconds)
        await response.write_eof()
        return response


def _blocks(recorded: RecordedRequest, answer: Answer) -> Iterator[tuple[int, bytes]]:
    """Yield what is written, each with the number of pieces that were written before it."""
    if answer.raw is not None:
        chunks = [answer.raw] if isinstance(answer.raw, bytes) else answer.raw
        yield from enumerate(chunks)
        return
    speak = responses_events if recorded.path.endswith("/responses") else chat_events
    yield from speak(
        recorded.body or {},
        answer.split(),
        refuses=answer.refusal is not None,
        incomplete_reason=answer.incomplete_reason,
        usage=usage_of(*answer.usage),
        omit_terminal=answer.omit_terminal,
        error=answer.error_event,
    )


def _whole(answer: Answer) -> web.Response:
    body = answer.body
    if body is None:
        kind = "server_error" if answer.status >= 500 else "invalid_request_error"
        body = {"error": {"message": "Scripted.", "type": kind, "param": None, "code": None}}
    content_type = "application/json"
    if isinstance(body, str | bytes):
        content_type = "text/html"
        data = body.encode() if isinstance(body, str) else body
    else:
        data = json.dumps(body).encode()
    headers = {"Content-Type": content_type, "x-request-id": "req_1", **answer.headers}
    return web.Response(status=answer.status, body=data, headers=headers)


async def _record(request: web.Request) -> RecordedRequest:
    data = await request.read()
    return RecordedRequest(
        method=request.method,
        path=request.path,
        query=dict(request.query),
        headers=request.headers.copy(),
        body=json.loads(data) if data else None,
        peer=request.get_extra_info("peername")[:2],
    )


async def _wait(gate: threading.Event) -> None:
    # Looked at, not waited for: a thread for each held answer would soon be too many.
    while not gate.is_set():  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


def _hang_up(request: web.Request, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()


def _model_list(names: Sequence[str]) -> dict[str, Any]:
    models = [
        {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "tests"}
        for name in names
    ]
    return {"object": "list", "data": models}


def _data_urls(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("data:"):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _data_urls(item)
    elif isinstance(value, list):
        for item in value:
            yield from _data_urls(item)


def _decoded(url: str) -> tuple[str, bytes]:
    head, _, data = url.removeprefix("data:").partition(",")
    media_type, _, encoding = head.partition(";")
    assert encoding == "base64"
    return media_type, base64.b64decode(data, validate=True)
