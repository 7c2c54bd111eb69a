"""The event log: who executes a run writes here, whoever watches reads here.

A watcher on the executing process is fed from memory, without waiting. The archive behind it serves
replay after the run and the other replicas.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.events import BEGINNING, Event, EventId, RunEnded
from gpt_assistant_api.engine.archive import Archive
from gpt_assistant_api.engine.channel import Channel, LoggedEvent

KEEP_ALIVE_SECONDS = 15.0


class EventLog:
    """The events of all runs that this process executes or somebody here watches."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._channels: dict[str, Channel] = {}
        self._ticker: asyncio.Task[None] | None = None
        self.stopping = False

    def start(self) -> None:
        """Begin to keep events and watchers awake; needs the running loop."""
        self._archive.start(self._feed, self._forget_unused)
        self._ticker = asyncio.create_task(self._tick_forever(), name="event log: keep-alive")

    def stop_watching(self) -> None:
        """Let every watcher end, because the process is about to."""
        self.stopping = True
        for channel in self._channels.values():
            channel.wake()

    async def close(self) -> None:
        """Write what is pending and stop."""
        if self._ticker is not None:
            self._ticker.cancel()
        await self._archive.close()

    def expect(self, run_id: str) -> Channel:
        """Say that this process executes a run now: who watches it here needs no archive."""
        channel = self._channels.get(run_id)
        if channel is None:
            channel = self._channels[run_id] = Channel()
        channel.published_here = True
        return channel

    def publish(self, run_id: str, attempt: int, event: Event) -> EventId | None:
        """Append an event of an attempt; return its id, or None if it is overtaken or has ended."""
        channel = self.expect(run_id)
        last_attempt, last_number = channel.last_id
        if attempt < last_attempt or channel.ended:
            return None
        number = last_number + 1 if attempt == last_attempt else 1
        logged = LoggedEvent(EventId(attempt, number), event)
        channel.append(logged)
        self._archive.add(run_id, logged)
        return logged.id

    async def watch(
        self, run_id: str, after: EventId = BEGINNING, *, at_end: bool = False
    ) -> AsyncGenerator[list[LoggedEvent], None]:
        """Yield the run's events after an id, in batches, until it ends or this process stops.

        With `at_end` those that are still to come do so in one, when it has ended. An empty batch
        comes at least every 15 s while nothing happens. Raises UnavailableError when the log cannot
        be read at the start.
        """
        channel = self._channels.get(run_id)
        if channel is None:
            loaded = await self._load(run_id)
            channel = self._channels.setdefault(run_id, loaded)
        if not channel.published_here and not channel.ended:
            self._archive.follow(run_id, channel.last_id)
        channel.watchers += 1
        try:
            position = channel.position_after(after)
            while True:
                batch = channel.events[position:]
                position += len(batch)
                # Who comes from another replica may be ahead of what has come here.
                unseen = [logged for logged in batch if logged.id > after]
                if unseen or not batch:
                    yield unseen
                if self.stopping or (channel.ended and position == len(channel.events)):
                    return
                if position == len(channel.events) or (at_end and not channel.ended):
                    await channel.wait(at_end=at_end)
        finally:
            channel.watchers -= 1
            self._forget(run_id, channel)

    def release(self, run_id: str) -> None:
        """Say that this process no longer executes a run; others may go on with it."""
        channel = self._channels.get(run_id)
        if channel is None:
            return
        channel.published_here = False
        if channel.watchers and not channel.ended:
            self._archive.follow(run_id, channel.last_id)
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
        return await self._archive.has(run_id)

    async def end_of(self, run_id: str) -> EventId | None:
        """Return the id of the run's last event, or None where the log has no end of it."""
        channel = self._channels.get(run_id) or await self._load(run_id)
        return channel.last_id if channel.ended else None

    async def check(self) -> None:
        """Raise UnavailableError unless events can be kept and read now."""
        await self._archive.check()

    async def _load(self, run_id: str) -> Channel:
        channel = Channel()
        for logged in await self._archive.load(run_id):
            channel.feed(logged)
        return channel

    def _forget(self, run_id: str, channel: Channel) -> None:
        """Leave a channel that nobody needs to the archive."""
        if channel.in_use or self._archive.owes(run_id):
            return
        if self._channels.get(run_id) is channel:
            del self._channels[run_id]
            self._archive.unfollow(run_id)
            self._archive.leave(run_id, channel.events)

    def _forget_unused(self, run_id: str) -> None:
        if channel := self._channels.get(run_id):
            self._forget(run_id, channel)

    def _feed(self, run_id: str, events: Iterable[LoggedEvent]) -> bool:
        channel = self._channels.get(run_id)
        if channel is None or channel.published_here:
            return False
        for logged in events:
            channel.feed(logged)
        return not channel.ended

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            for channel in list(self._channels.values()):
                channel.wake()
