"""Runs that wait for a process with room, and word of those that are to stop."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol


class Queue(Protocol):
    """The memory of this process, or a Redis that many share."""

    async def put(self, run_ids: Sequence[str]) -> None:
        """Add runs, each once however often it is added. May raise UnavailableError."""

    async def take(self) -> str:
        """Wait for a run and take the one that has waited longest. May raise UnavailableError."""

    async def call_off(self, run_id: str) -> None:
        """Take a run out, and tell every process to stop it. May raise UnavailableError."""

    async def listen(self, stop: Callable[[str], None], /) -> None:
        """Hear which runs are to stop, until cancelled. May raise UnavailableError."""


class LocalQueue:
    """For one process, which has nobody to tell."""

    def __init__(self) -> None:
        self._run_ids: dict[str, None] = {}
        self._has_some = asyncio.Event()

    async def put(self, run_ids: Sequence[str]) -> None:
        """Add runs, each once however often it is added."""
        self._run_ids |= dict.fromkeys(run_ids)
        self._has_some.set()

    async def take(self) -> str:
        """Wait for a run and take the one that has waited longest."""
        while not self._run_ids:
            self._has_some.clear()
            await self._has_some.wait()
        run_id = next(iter(self._run_ids))
        del self._run_ids[run_id]
        return run_id

    async def call_off(self, run_id: str) -> None:
        """Take a run out."""
        self._run_ids.pop(run_id, None)

    async def listen(self, _stop: Callable[[str], None]) -> None:
        """Wait, for there is nobody to hear."""
        await asyncio.Event().wait()
