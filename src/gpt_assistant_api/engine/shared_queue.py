"""The queue in Redis, for many processes."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from gpt_assistant_api.engine.redis import STORE_SECONDS, answering

_BLOCK_SECONDS = 15.0


class SharedQueue:
    """A sorted set of runs by the time since when they wait, and a channel for those that stop.

    What it loses is found again by the look for runs that nobody executes.
    """

    def __init__(self, redis: Any, name: str) -> None:
        self._redis = redis
        self._waiting = f"{name}:waiting"
        self._stops = f"{name}:stops"

    async def put(self, run_ids: Sequence[str]) -> None:
        """Add runs, each once however often it is added. May raise UnavailableError."""
        async with answering():
            await self._redis.zadd(self._waiting, dict.fromkeys(run_ids, time.time()), nx=True)

    async def take(self) -> str:
        """Wait for a run and take the one that has waited longest. May raise UnavailableError."""
        while True:
            async with answering(_BLOCK_SECONDS + STORE_SECONDS):
                found = await self._redis.bzpopmin(self._waiting, timeout=_BLOCK_SECONDS)
            if found:
                run_id: bytes = found[1]
                return run_id.decode()

    async def call_off(self, run_id: str) -> None:
        """Take a run out, and tell every process to stop it. May raise UnavailableError."""
        async with answering():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zrem(self._waiting, run_id)
            pipeline.publish(self._stops, run_id)
            await pipeline.execute()

    async def listen(self, stop: Callable[[str], None]) -> None:
        """Hear which runs are to stop, until cancelled. May raise UnavailableError."""
        async with answering(None), self._redis.pubsub() as channel:
            await channel.subscribe(self._stops)
            async for message in channel.listen():
                if message["type"] == "message":
                    stop(message["data"].decode())
