"""The logs of runs as streams in Redis, for replicas to share.

One writer appends what was published here, in a pipeline every few milliseconds, an entry a run.
One reader feeds the channels whose runs are executed elsewhere.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any

import structlog

from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.events import EventId, RunEnded
from gpt_assistant_api.engine.archive import KEPT_AFTER_END_SECONDS, Feed, Written
from gpt_assistant_api.engine.channel import LoggedEvent
from gpt_assistant_api.engine.codec import decode, encode
from gpt_assistant_api.engine.loops import keep_up
from gpt_assistant_api.engine.redis import STORE_SECONDS, answering

_FLUSH_SECONDS = 0.025
_BLOCK_SECONDS = 15.0
_KEPT_WHILE_RUNNING_SECONDS = 86_400
_PENDING_EVENTS = 100_000
_EVENTS = b"e"

_Entry = tuple[bytes, dict[bytes, bytes]]

log = structlog.get_logger(__name__)


class Streams:
    """The streams of all runs. An entry holds some events, under the id of the last of them.

    Ids ascend, so the stream itself refuses what an overtaken attempt still appends.
    """

    def __init__(self, redis: Any, name: str) -> None:
        self._redis = redis
        self._name = name
        self._feed: Feed = _feed_nobody
        self._written: Written = _tell_nobody
        self._pending: dict[str, list[LoggedEvent]] = {}
        self._writing: dict[str, list[LoggedEvent]] = {}
        self._has_pending = asyncio.Event()
        self._followed: dict[str, bytes] = {}
        self._last_wake = b"0-0"
        self._wake_key = f"{name}:wake:{secrets.token_hex(8)}"
        self._tasks: list[asyncio.Task[None]] = []
        self._reader: asyncio.Task[None] | None = None

    def start(self, feed: Feed, written: Written) -> None:
        """Begin to write and to follow; needs the running loop."""
        self._feed, self._written = feed, written
        writing = keep_up("event log cannot be written", self._write_on)
        self._tasks = [asyncio.create_task(writing, name="event log: write")]

    async def close(self) -> None:
        """Write what was added and stop."""
        if self._reader is not None:
            self._tasks.append(self._reader)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(UnavailableError):
            await self._write()

    async def check(self) -> None:
        """Raise UnavailableError unless it can be read and written now."""
        async with answering():
            await self._redis.set(f"{self._name}:check", b"", ex=60)

    def add(self, run_id: str, logged: LoggedEvent) -> None:
        """Take an event that was published here."""
        self._pending.setdefault(run_id, []).append(logged)
        self._has_pending.set()

    def owes(self, run_id: str) -> bool:
        """Tell whether something that was added is not kept yet."""
        return run_id in self._pending or run_id in self._writing

    def leave(self, run_id: str, events: Sequence[LoggedEvent]) -> None:
        """Do nothing, for the stream has it all."""

    async def load(self, run_id: str) -> list[LoggedEvent]:
        """Return the events of a run that are kept, or raise UnavailableError."""
        async with answering():
            entries = await self._redis.xrange(self._key(run_id))
        return _events_of(run_id, entries) or []

    async def has(self, run_id: str) -> bool:
        """Tell whether any event of a run is kept, or raise UnavailableError."""
        async with answering():
            return bool(await self._redis.exists(self._key(run_id)))

    def follow(self, run_id: str, after: EventId) -> None:
        """Have a channel fed with what others publish after an id."""
        if run_id in self._followed:
            return
        self._followed[run_id] = str(after).encode()
        if self._reader is None:
            # It outlives the request that it begins in, whose id its log lines must not carry.
            self._reader = asyncio.create_task(
                keep_up("event log cannot be read", self._read_on),
                name="event log: read",
                context=Context(),
            )
        else:
            task = asyncio.create_task(self._interrupt_reader())
            self._tasks.append(task)
            task.add_done_callback(self._tasks.remove)

    def unfollow(self, run_id: str) -> None:
        """Feed a channel no longer."""
        self._followed.pop(run_id, None)

    def _key(self, run_id: str) -> str:
        return f"{self._name}:log:{run_id}"

    async def _write_on(self) -> None:
        while True:
            await self._has_pending.wait()
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._write()

    async def _write(self) -> None:
        """Append what is pending; what cannot be written now stays pending."""
        self._writing, self._pending = self._pending, {}
        self._has_pending.clear()
        if not self._writing:
            return
        try:
            async with answering():
                pipeline = self._redis.pipeline(transaction=False)
                for run_id, events in self._writing.items():
                    self._append(pipeline, run_id, events)
                _check_kept(await pipeline.execute(raise_on_error=False))
        except BaseException:  # readers pass over what the stream has had already
            for run_id, events in self._pending.items():
                self._writing.setdefault(run_id, []).extend(events)
            self._pending, self._writing = self._writing, {}
            self._has_pending.set()
            self._give_up_excess()
            raise
        written, self._writing = self._writing, {}
        for run_id in written:
            self._written(run_id)

    def _append(self, pipeline: Any, run_id: str, events: list[LoggedEvent]) -> None:
        key, last = self._key(run_id), events[-1]
        pipeline.xadd(key, {_EVENTS: encode(events)}, id=str(last.id))
        if isinstance(last.event, RunEnded):
            pipeline.expire(key, KEPT_AFTER_END_SECONDS)
        elif events[0].id.number == 1:
            pipeline.expire(key, _KEPT_WHILE_RUNNING_SECONDS)

    def _give_up_excess(self) -> None:
        """Let an outage not fill the memory: of runs that have ended, the database knows enough."""
        excess = sum(map(len, self._pending.values())) - _PENDING_EVENTS
        for run_id, events in list(self._pending.items()):
            if excess > 0 and isinstance(events[-1].event, RunEnded):
                excess -= len(self._pending.pop(run_id))
                self._written(run_id)

    async def _interrupt_reader(self) -> None:
        with suppress(UnavailableError):
            async with answering():
                await self._redis.xadd(self._wake_key, {b"w": b""}, maxlen=1)
                await self._redis.expire(self._wake_key, _KEPT_WHILE_RUNNING_SECONDS)

    async def _read_on(self) -> None:
        while True:
            keys = {self._key(run_id).encode(): run_id for run_id in self._followed}
            positions: dict[Any, Any] = {key: self._followed[keys[key]] for key in keys}
            positions[self._wake_key] = self._last_wake
            async with answering(_BLOCK_SECONDS + STORE_SECONDS):
                found = await self._redis.xread(positions, block=int(_BLOCK_SECONDS * 1000))
            for key, entries in found or []:
                if key in keys:
                    self._pass_on(keys[key], entries)
                else:
                    self._last_wake = entries[-1][0]

    def _pass_on(self, run_id: str, entries: Sequence[_Entry]) -> None:
        events = _events_of(run_id, entries)
        goes_on = events is not None and self._feed(run_id, events)
        if goes_on and run_id in self._followed:
            self._followed[run_id] = entries[-1][0]
        elif not goes_on:
            self.unfollow(run_id)


def _events_of(run_id: str, entries: Iterable[_Entry]) -> list[LoggedEvent] | None:
    """Return the events in these entries, or None where a release of another form wrote them."""
    try:
        return [logged for _, fields in entries for logged in decode(fields[_EVENTS])]
    except (KeyError, ValueError):
        log.warning("events in the log cannot be read", run_id=run_id)
        return None


def _check_kept(results: Iterable[Any]) -> None:
    """Raise UnavailableError unless everything was kept, or refused for what has come before."""
    for result in results:
        if isinstance(result, Exception) and "equal or smaller" not in str(result):
            raise UnavailableError(
                "The store of the run engine keeps nothing.", code="runs_unavailable"
            ) from result


def _feed_nobody(run_id: str, events: Iterable[LoggedEvent]) -> bool:
    return False


def _tell_nobody(run_id: str) -> None:
    pass
