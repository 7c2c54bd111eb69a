"""Where the events of runs are kept beyond the channels of one process."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from gpt_assistant_api.domain.events import EventId
from gpt_assistant_api.engine.channel import LoggedEvent

KEPT_AFTER_END_SECONDS: Final = 3_600

Feed = Callable[[str, Iterable[LoggedEvent]], bool]
"""Give a run's channel what was found; tells whether there is more to come for it."""

Written = Callable[[str], None]
"""Hear that all that was added of a run is kept."""


class Archive(Protocol):
    """The memory of this process, or the streams of a Redis that many share."""

    def start(self, feed: Feed, written: Written) -> None:
        """Begin to write and to follow; needs the running loop."""

    async def close(self) -> None:
        """Write what was added and stop."""

    async def check(self) -> None:
        """Raise UnavailableError unless it can be read and written now."""

    def add(self, run_id: str, logged: LoggedEvent) -> None:
        """Take an event that was published here."""

    def owes(self, run_id: str, /) -> bool:
        """Tell whether something that was added is not kept yet, and its channel still needed."""

    def leave(self, run_id: str, events: Sequence[LoggedEvent]) -> None:
        """Take what a channel held that nobody needs any more."""

    async def load(self, run_id: str) -> list[LoggedEvent]:
        """Return the events of a run that are kept, or raise UnavailableError."""

    async def has(self, run_id: str) -> bool:
        """Tell whether any event of a run is kept, or raise UnavailableError."""

    def follow(self, run_id: str, after: EventId) -> None:
        """Have a channel fed with what others publish after an id."""

    def unfollow(self, run_id: str) -> None:
        """Feed a channel no longer."""
