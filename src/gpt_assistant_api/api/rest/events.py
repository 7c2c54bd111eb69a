"""A run's events as server-sent events, in this face's words."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing, suppress
from time import monotonic
from typing import Final

import orjson
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gpt_assistant_api.api.rest.links import FileLinks
from gpt_assistant_api.api.rest.schemas import MessageOut, RunOut
from gpt_assistant_api.api.rest.writing import encode
from gpt_assistant_api.domain.errors import Refusal, UnavailableError
from gpt_assistant_api.domain.events import (
    BEGINNING,
    EventId,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    RunEnded,
    RunRestarted,
    RunStarted,
)
from gpt_assistant_api.engine import LoggedEvent
from gpt_assistant_api.markup import Block, GrowingDocument, append_async, finish_async

_KEEP_ALIVE = b": still here\n\n"
_BLOCK_SECONDS = 0.25
_RECHECK_SECONDS = 30.0
_ENDS = {
    "completed": "run.completed",
    "incomplete": "run.completed",
    "failed": "run.failed",
    "cancelled": "run.cancelled",
}
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

# What one event of a stream looks like; the description has no word for a sequence of them.
EVENT_STREAM: Final = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "required": ["event", "id", "data"],
            "properties": {
                "event": {"type": "string", "examples": ["message.delta"]},
                "id": {"type": "string", "examples": ["1-3"]},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
        }
    }
}

Batches = AsyncGenerator[list[LoggedEvent], None]


async def event_stream(
    batches: Batches,
    links: FileLinks,
    *,
    html: bool,
    after: EventId,
    open_stream: Callable[[], AbstractContextManager[object]],
    recheck: Callable[[], Awaitable[object]],
    held: ExitStack,
) -> StreamingResponse:
    """Return the response that sends these batches as they come; what refuses does so now.

    `open_stream` surrounds the sending, and what is `held` for the stream goes over to the
    response, which closes it when it ends. `recheck` is called now and then: what it refuses ends
    the stream. In HTML the batches must begin with the run, since a block is made of all text
    before it.
    """
    first: list[LoggedEvent] = await anext(batches, [])
    all_frames = _html_frames if html else _frames
    frames = all_frames(first, batches, links, after)
    return _EventStream(frames, open_stream, recheck, held.pop_all())


class _EventStream(StreamingResponse):
    """A stream for which something is held, also where it never begins."""

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        open_stream: Callable[[], AbstractContextManager[object]],
        recheck: Callable[[], Awaitable[object]],
        held: ExitStack,
    ) -> None:
        super().__init__(frames, media_type="text/event-stream", headers=HEADERS)
        self._frames = frames
        self._open_stream = open_stream
        self._recheck = recheck
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, to its end or until nobody reads it.

        One small task notices that; the framework's own way takes two, a group and its scopes.
        """
        del scope
        sending = asyncio.current_task()
        assert sending is not None, "a response is sent in a task"

        left = ended = False

        def leave(_: asyncio.Task[None]) -> None:
            nonlocal left
            if not ended:
                left = True
                sending.cancel()

        with self._held:
            listening = asyncio.create_task(self.listen_for_disconnect(receive))
            listening.add_done_callback(leave)
            try:
                await self._send(send)
            except asyncio.CancelledError:
                if not left or sending.uncancel():
                    raise
            finally:
                ended = True
                listening.cancel()

    async def _send(self, send: Send) -> None:
        checked_at = monotonic()
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        # What fails has its end in the thread, and is seen again here.
        with self._open_stream(), suppress(UnavailableError):
            async with aclosing(self._frames) as frames:
                async for data in frames:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                    if monotonic() - checked_at > _RECHECK_SECONDS:
                        if not await self._is_allowed():
                            break
                        checked_at = monotonic()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _is_allowed(self) -> bool:
        try:
            with suppress(UnavailableError):  # nobody has said no
                await self._recheck()
        except Refusal:
            return False
        return True


async def _all_batches(first: list[LoggedEvent], batches: Batches) -> Batches:
    async with aclosing(batches):
        yield first
        async for batch in batches:
            yield batch


async def _frames(
    first: list[LoggedEvent], batches: Batches, links: FileLinks, _: EventId
) -> AsyncGenerator[bytes, None]:
    async with aclosing(batches):
        yield _joined(first, links)
        async for batch in batches:
            yield _joined(batch, links)


def _joined(batch: list[LoggedEvent], links: FileLinks) -> bytes:
    if len(batch) == 1:
        return _frame(batch[0], links)
    return b"".join([_frame(logged, links) for logged in batch]) or _KEEP_ALIVE


def _frame(logged: LoggedEvent, links: FileLinks) -> bytes:
    """Return the frame of an event; the one of a delta is made once for all who watch."""
    event = logged.event
    if isinstance(event, MessageDelta):
        if logged.frames is None:
            logged.frames = {}
        if (frame := logged.frames.get("rest")) is None:
            data = orjson.dumps({"text": event.text, "offset": event.offset})
            frame = logged.frames["rest"] = _sse("message.delta", logged.id, data)
        return frame
    return _other_frame(logged, links, None)


def _other_frame(logged: LoggedEvent, links: FileLinks, content_html: str | None) -> bytes:
    match logged.event:
        case RunStarted(run, title, question):
            data = encode(
                {
                    "run": RunOut.of(run),
                    "thread_id": run.thread_id,
                    "thread_title": title,
                    "user_message": MessageOut.of(question, links),
                }
            )
            return _sse("run.started", logged.id, data)
        case RunRestarted(attempt):
            return _sse("run.restarted", logged.id, orjson.dumps({"attempt": attempt}))
        case MessageStarted(message_id):
            return _sse("message.started", logged.id, orjson.dumps({"message_id": message_id}))
        case MessageCompleted(message):
            data = encode({"message": MessageOut.of(message, links, content_html)})
            return _sse("message.completed", logged.id, data)
        case RunEnded(run):
            data = encode({"run": RunOut.of(run)})
            return _sse(_ENDS[run.status], logged.id, data)
        case MessageDelta():
            raise AssertionError("a delta has its own frame")


async def _html_frames(
    first: list[LoggedEvent], batches: Batches, links: FileLinks, after: EventId
) -> AsyncGenerator[bytes, None]:
    """Yield blocks in place of deltas: the growing one again, a few times a second at most.

    A block carries the id of the last delta in it: who has seen the block lacks what came after.
    """
    document = GrowingDocument()
    pending: list[str] = []
    said = BEGINNING
    shown_at = 0.0
    async with aclosing(_all_batches(first, batches)) as all_batches:
        async for batch in all_batches:
            frames: list[bytes] = []
            for logged in batch:
                event = logged.event
                if isinstance(event, MessageDelta):
                    pending.append(event.text)
                    said = logged.id
                    continue
                if isinstance(event, RunRestarted):
                    document, pending = GrowingDocument(), []
                frames += await _block_frames(document, pending, said)
                html = None
                if isinstance(event, MessageCompleted):
                    frames += _frames_of(await finish_async(document), said)
                    html = document.html
                if logged.id > after:
                    frames.append(_other_frame(logged, links, html))
            if pending:
                await asyncio.sleep(max(0.0, shown_at + _BLOCK_SECONDS - monotonic()))
                frames += await _block_frames(document, pending, said)
                shown_at = monotonic()
            yield b"".join(frames) or _KEEP_ALIVE


async def _block_frames(
    document: GrowingDocument, pending: list[str], event_id: EventId
) -> list[bytes]:
    """Render what is pending; where nothing is, nothing has changed."""
    if not pending:
        return []
    blocks = await append_async(document, "".join(pending))
    pending.clear()
    return _frames_of(blocks, event_id)


def _frames_of(blocks: Sequence[Block], event_id: EventId) -> list[bytes]:
    return [
        _sse(
            "message.block",
            event_id,
            orjson.dumps({"index": block.index, "html": block.html}),
        )
        for block in blocks
    ]


def start_of(after: EventId, *, html: bool) -> EventId:
    """Return where reading begins for a watcher who has seen up to `after`."""
    return BEGINNING if html else after


def _sse(name: str, event_id: EventId, data: bytes) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), str(event_id).encode(), data)
