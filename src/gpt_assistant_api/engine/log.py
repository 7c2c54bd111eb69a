"""The event log: who executes a run writes here, whoever watches reads here.

A watcher on the executing process is fed from memory, without waiting. The engine's stream, written
behind it in small pipelines, serves replay after the run and the other replicas.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from contextvars import Context
from typing import Any

import structlog
from docket import Docket
from redis.exceptions import RedisError

from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.events import BEGINNING, Event, EventId, RunEnded
from gpt_assistant_api.engine.channel import Channel, LoggedEvent
from gpt_assistant_api.engine.codec import decode, encode

KEEP_ALIVE_SECONDS = 15.0
_FLUSH_SECONDS = 0.025
_RETRY_SECONDS = 1.0
_STORE_SECONDS = 3.0
_KEPT_AFTER_END_SECONDS = 3_600
_KEPT_WHILE_RUNNING_SECONDS = 86_400

log = structlog.get_logger(__name__)


class EventLog:
    """The events of all runs that this process executes or somebody here watches."""

    def __init__(self, docket: Docket) -> None:
        self._docket = docket
        self._embedded = docket.url.startswith("memory://")
        self._channels: dict[str, Channel] = {}
        self._pending: list[tuple[str, EventId, Event]] = []
        self._has_pending = asyncio.Event()
        self._wake_key = docket.key(f"wake:{secrets.token_hex(8)}")
        self._tailed: dict[str, EventId] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._tailer: asyncio.Task[None] | None = None
        self.stopping = False

    def start(self) -> None:
        """Begin to write and to keep watchers awake; needs the running loop."""
        self._tasks = [
            asyncio.create_task(self._flush_forever(), name="event log: flush"),
            asyncio.create_task(self._tick_forever(), name="event log: keep-alive"),
        ]

    def stop_watching(self) -> None:
        """Let every watcher end, because the process is about to."""
        self.stopping = True
        for channel in self._channels.values():
            channel.wake()

    async def close(self) -> None:
        """Write what is pending and stop."""
        if self._tailer is not None:
            self._tasks.append(self._tailer)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(RedisError, OSError):
            await self._flush()

    def publish(self, run_id: str, attempt: int, event: Event) -> EventId | None:
        """Append an event of an attempt; return its id, or None if it is overtaken or has ended."""
        channel = self._channels.setdefault(run_id, Channel())
        last = channel.last_id
        if attempt < last.attempt or channel.ended:
            return None
        number = last.number + 1 if attempt == last.attempt else 1
        event_id = EventId(attempt, number)
        channel.published_here = True
        channel.append(event_id, event)
        channel.unwritten += 1
        self._pending.append((run_id, event_id, event))
        self._has_pending.set()
        return event_id

    async def watch(
        self, run_id: str, after: EventId = BEGINNING
    ) -> AsyncGenerator[list[LoggedEvent], None]:
        """Yield the run's events after an id, in batches, until it ends or this process stops.

        An empty batch comes at least every 15 s while nothing happens. Raises UnavailableError when
        the log cannot be read at the start.
        """
        channel = self._channels.get(run_id)
        if channel is None:
            loaded = await self._load(run_id)
            channel = self._channels.setdefault(run_id, loaded)
        if not channel.published_here and not channel.ended:
            self._follow(run_id, channel)
        channel.watchers += 1
        try:
            async with aclosing(channel.watch(after)) as batches:
                async for batch in batches:
                    yield batch
                    if self.stopping:
                        return
        finally:
            channel.watchers -= 1
            self._forget(run_id, channel)

    def release(self, run_id: str, attempt: int) -> None:
        """Say that this process no longer executes the attempt; others may go on with the run."""
        channel = self._channels.get(run_id)
        if channel is None or channel.last_id.attempt > attempt:
            return
        channel.published_here = False
        if channel.watchers and not channel.ended:
            self._follow(run_id, channel)
        self._forget(run_id, channel)

    async def wait_for_end(self, run_id: str, *, timeout_seconds: float | None = None) -> bool:
        """Return True once the run's end is in the log, False after the time or when stopping."""
        try:
            async with asyncio.timeout(timeout_seconds), aclosing(self.watch(run_id)) as batches:
                async for batch in batches:
                    if batch and isinstance(batch[-1].event, RunEnded):
                        return True
        except (TimeoutError, UnavailableError):
            return False
        return False

    async def knows(self, run_id: str) -> bool:
        """Tell whether the log has anything of the run."""
        if (channel := self._channels.get(run_id)) is not None and channel.events:
            return True
        async with self._store() as redis:
            return bool(await redis.xlen(self._key(run_id)))

    async def end_of(self, run_id: str) -> EventId | None:
        """Return the id of the run's last event, or None where the log has no end of it."""
        channel = self._channels.get(run_id) or await self._load(run_id)
        return channel.last_id if channel.ended else None

    async def check(self) -> None:
        """Raise UnavailableError unless the engine's store can be read and written now."""
        async with self._store() as redis:
            await redis.set(self._docket.key("check"), b"", ex=60)

    def _key(self, run_id: str) -> str:
        return self._docket.key(f"events:{run_id}")

    def _forget(self, run_id: str, channel: Channel) -> None:
        """Drop a channel that nobody needs: the stream has what it held."""
        if not channel.needed and self._channels.get(run_id) is channel:
            del self._channels[run_id]
            self._tailed.pop(run_id, None)

    async def _load(self, run_id: str) -> Channel:
        channel = Channel()
        async with self._store() as redis:
            for entry_id, fields in await redis.xrange(self._key(run_id)) or []:
                channel.feed(_event_id(entry_id), decode(fields))
        return channel

    @asynccontextmanager
    async def _store(self) -> AsyncGenerator[Any, None]:
        try:
            async with asyncio.timeout(_STORE_SECONDS), self._docket.redis() as redis:
                yield redis
        except (RedisError, OSError) as error:
            raise UnavailableError(
                "The store of the run engine does not answer.", code="runs_unavailable"
            ) from error

    async def _flush_forever(self) -> None:
        while True:
            await self._has_pending.wait()
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                await self._flush()
            except (RedisError, OSError) as error:
                log.warning("event log cannot be written", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _flush(self) -> None:
        """Write what is pending in one pipeline; the stream refuses overtaken attempts itself."""
        pending, self._pending = self._pending, []
        self._has_pending.clear()
        if not pending:
            return
        try:
            async with self._docket.redis() as redis:
                pipeline: Any = redis.pipeline()
                for run_id, event_id, event in pending:
                    key = self._key(run_id)
                    pipeline.xadd(key, encode(event), id=str(event_id))
                    if isinstance(event, RunEnded):
                        pipeline.expire(key, _KEPT_AFTER_END_SECONDS)
                    elif event_id.number == 1:
                        pipeline.expire(key, _KEPT_WHILE_RUNNING_SECONDS)
                async with asyncio.timeout(_STORE_SECONDS):
                    await pipeline.execute(raise_on_error=False)
        except BaseException:  # what the stream has already, it refuses the second time
            self._pending = pending + self._pending
            self._has_pending.set()
            raise
        for run_id, _, _ in pending:
            if channel := self._channels.get(run_id):
                channel.unwritten -= 1
                self._forget(run_id, channel)

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            for channel in list(self._channels.values()):
                channel.wake()

    def _follow(self, run_id: str, channel: Channel) -> None:
        """Have the process's one reader of streams feed this channel."""
        if self._embedded or run_id in self._tailed:
            return
        self._tailed[run_id] = channel.last_id
        if self._tailer is None:
            # It outlives the request that it begins in, whose id its log lines must not carry.
            self._tailer = asyncio.create_task(
                self._tail_forever(), name="event log: tail", context=Context()
            )
        else:
            task = asyncio.create_task(self._interrupt_tailer())
            self._tasks.append(task)
            task.add_done_callback(self._tasks.remove)

    async def _interrupt_tailer(self) -> None:
        with suppress(UnavailableError):
            async with self._store() as redis:
                await redis.xadd(self._wake_key, {b"w": b""}, maxlen=1)
                await redis.expire(self._wake_key, _KEPT_WHILE_RUNNING_SECONDS)

    async def _tail_forever(self) -> None:
        last_wake = b"0-0"
        while True:
            try:
                async with self._docket.redis() as redis:
                    while True:
                        keys = {self._key(run): (run, at) for run, at in self._tailed.items()}
                        positions: dict[Any, Any] = {key: str(at) for key, (_, at) in keys.items()}
                        positions[self._wake_key] = last_wake
                        async with asyncio.timeout(KEEP_ALIVE_SECONDS + _STORE_SECONDS):
                            found = await redis.xread(
                                positions,
                                block=int(KEEP_ALIVE_SECONDS * 1000),
                            )
                        for name, entries in found or []:
                            if name.decode() == self._wake_key:
                                last_wake = entries[-1][0]
                            else:
                                self._feed(keys[name.decode()][0], entries)
            except (RedisError, OSError) as error:
                log.warning("event log cannot be read", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    def _feed(self, run_id: str, entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> None:
        channel = self._channels.get(run_id)
        if channel is None or channel.published_here:
            self._tailed.pop(run_id, None)
            return
        for entry_id, fields in entries:
            channel.feed(_event_id(entry_id), decode(fields))
            self._tailed[run_id] = _event_id(entry_id)
        if channel.ended:
            self._tailed.pop(run_id, None)


def _event_id(entry_id: bytes) -> EventId:
    attempt, number = entry_id.split(b"-")
    return EventId(int(attempt), int(number))
