"""One run's events as this process has them, and whoever waits for the next."""

import asyncio
from bisect import bisect_right
from dataclasses import dataclass, field

from gpt_assistant_api.domain.events import BEGINNING, Event, EventId, RunEnded


@dataclass(slots=True)
class LoggedEvent:
    """An event with its id. `frames` is room for a face to keep what it made of the event once.

    Nothing else of it changes: frozen, each delta would cost its log twice as much.
    """

    id: EventId
    event: Event
    frames: dict[str, bytes] | None = None


@dataclass(slots=True)
class Channel:
    """The events of a run in order. `published_here`: this process executes the run.

    `ended`: whether the newest event is the run's end.
    """

    events: list[LoggedEvent] = field(default_factory=list)
    published_here: bool = False
    ended: bool = False
    watchers: int = 0
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _waiting_for_end: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def last_id(self) -> EventId:
        """The id of the newest event."""
        return self.events[-1].id if self.events else BEGINNING

    @property
    def in_use(self) -> bool:
        """Whether somebody watches, or this process has more to say."""
        return self.watchers > 0 or (self.published_here and not self.ended)

    def feed(self, logged: LoggedEvent) -> None:
        """Add what the archive has, unless it is known or something before it is missing.

        A store that came back empty has lost events for good. Text with a hole is worse than
        none: the message is read from the database when the run has ended.
        """
        last = self.last_id
        expected = last.number + 1 if logged.id.attempt == last.attempt else 1
        if logged.id.number == expected:
            self.append(logged)

    def append(self, logged: LoggedEvent) -> None:
        """Add an event that is newer than the last, and wake the watchers.

        Nothing follows the end: two who told it had both stored it.
        """
        if self.ended or logged.id <= self.last_id:
            return
        self.events.append(logged)
        self.ended = isinstance(logged.event, RunEnded)
        self._wake(self._waiting)
        if self.ended:
            self._wake(self._waiting_for_end)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._wake(self._waiting)
        self._wake(self._waiting_for_end)

    def _wake(self, waiting: list[asyncio.Future[None]]) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(None)
        waiting.clear()

    def position_after(self, after: EventId) -> int:
        """Return how many events come up to an id."""
        return bisect_right(self.events, after, key=_id_of)

    async def wait(self, *, at_end: bool = False) -> None:
        """Wait for another event, with `at_end` for the last, or for a call of `wake()`."""
        future = asyncio.get_running_loop().create_future()
        (self._waiting_for_end if at_end else self._waiting).append(future)
        await future


def _id_of(logged: LoggedEvent) -> EventId:
    return logged.id
