"""The logs of runs, in the memory of the one process that there is."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from gpt_assistant_api.domain.events import EventId
from gpt_assistant_api.engine.archive import KEPT_AFTER_END_SECONDS, Feed, Written
from gpt_assistant_api.engine.channel import LoggedEvent
from gpt_assistant_api.engine.codec import decode, encode

_LIMIT_BYTES = 64 * 1024 * 1024


class _Kept(NamedTuple):
    at: float
    last_id: EventId
    data: bytes


class KeptLogs:
    """What channels held, packed, for an hour or until there is too much of it, oldest first.

    Nobody else publishes, so there is nothing to write before a channel is left, nor to follow.
    """

    def __init__(self, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._logs: dict[str, _Kept] = {}
        self._size_bytes = 0

    def start(self, feed: Feed, written: Written) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def check(self) -> None:
        """Do nothing, for memory answers."""

    def add(self, run_id: str, logged: LoggedEvent) -> None:
        """Leave it to the channel."""

    def owes(self, _run_id: str) -> bool:
        """Tell that nothing is behind a channel."""
        return False

    def leave(self, run_id: str, events: Sequence[LoggedEvent]) -> None:
        """Keep what a channel held that nobody needs any more."""
        kept = self._logs.get(run_id)
        if kept:  # it was watched again, or an overtaken attempt still had something to say
            events = [logged for logged in events if logged.id > kept.last_id]
        if not events:
            return
        earlier = decode(kept.data) if kept else []
        self._drop(run_id)
        self._logs[run_id] = _Kept(time.monotonic(), events[-1].id, encode([*earlier, *events]))
        self._size_bytes += len(self._logs[run_id].data)
        self._drop_old()

    async def load(self, run_id: str) -> list[LoggedEvent]:
        """Return what is kept of a run."""
        self._drop_old()
        kept = self._logs.get(run_id)
        return decode(kept.data) if kept else []

    async def has(self, run_id: str) -> bool:
        """Tell whether anything is kept of a run."""
        self._drop_old()
        return run_id in self._logs

    def follow(self, run_id: str, after: EventId) -> None:
        """Do nothing, for nobody else publishes."""

    def unfollow(self, run_id: str) -> None:
        """Do nothing, for nobody else publishes."""

    def _drop(self, run_id: str) -> None:
        kept = self._logs.pop(run_id, None)
        self._size_bytes -= len(kept.data) if kept else 0

    def _drop_old(self) -> None:
        expired = time.monotonic() - KEPT_AFTER_END_SECONDS
        while self._logs:
            run_id, kept = next(iter(self._logs.items()))
            if kept.at > expired and self._size_bytes <= self._limit_bytes:
                return
            self._drop(run_id)
