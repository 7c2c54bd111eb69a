"""How many requests a minute a caller may make: the only module that knows the `limits` library."""

import asyncio
import math
import time

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from gpt_assistant_api.domain.errors import RateLimitedError

STORE_SECONDS = 0.5
PAUSE_SECONDS = 5
WARNING_SECONDS = 60
# Fewer than the Redis client has connections, which raises when they run out: a burst of requests
# must not look like an outage.
CONCURRENT_COUNTS = 50

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Limiter:
    """Counts the requests of each identity over a sliding minute.

    While the store fails or is silent, requests pass uncounted: a limit protects the service, and
    must not be what stops it. The store is then left alone for some seconds, so that an outage
    does not slow every request down.
    """

    def __init__(self, storage: MemoryStorage | RedisStorage, requests_per_minute: int) -> None:
        self._storage = storage
        self._limit = RateLimitItemPerMinute(requests_per_minute)
        self._window = SlidingWindowCounterRateLimiter(storage)
        self._failures = _failures(storage)
        self._slots = asyncio.Semaphore(CONCURRENT_COUNTS)
        self._paused_until = -math.inf
        self._silent_until = -math.inf

    async def hit(self, *identities: str) -> None:
        """Count one request for each identity, in the given order, up to the first that is over.

        Name the narrowest first: what a user's limit refuses then costs the shared key nothing.
        Raises RateLimitedError; a refused request is not counted.
        """
        if self._limit.amount == 0:
            return
        for identity in identities:
            if seconds := await self._seconds_to_wait(identity):
                raise RateLimitedError(
                    f"At most {self._limit.amount} requests a minute are accepted.",
                    code="rate_limited",
                    retry_after_seconds=seconds,
                )

    async def close(self) -> None:
        """Close the connections to the store."""
        bridge = getattr(self._storage, "bridge", None)
        if isinstance(bridge, RedispyBridge):
            await bridge.storage.aclose()

    async def _seconds_to_wait(self, identity: str) -> int:
        async with self._slots:
            if time.monotonic() < self._paused_until:
                return 0
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    return await self._count(identity)
            except self._failures as error:
                self._pause(error)
                return 0

    async def _count(self, identity: str) -> int:
        if await self._window.hit(self._limit, identity):
            return 0
        stats = await self._window.get_window_stats(self._limit, identity)
        return max(1, math.ceil(stats.reset_time - time.time()))

    def _pause(self, error: Exception) -> None:
        now = time.monotonic()
        self._paused_until = now + PAUSE_SECONDS
        if now >= self._silent_until:
            self._silent_until = now + WARNING_SECONDS
            log.warning("requests are not limited: no store", error=type(error).__name__)


def open_limiter(url: str, requests_per_minute: int) -> Limiter:
    """Return a limiter that counts in this process (`memory://`) or in Redis; 0 limits nothing."""
    if requests_per_minute == 0 or url.startswith("memory:"):
        return Limiter(MemoryStorage(), requests_per_minute)
    storage = RedisStorage(f"async+{url}", implementation="redispy")
    return Limiter(storage, requests_per_minute)


def _failures(storage: MemoryStorage | RedisStorage) -> tuple[type[Exception], ...]:
    kinds = storage.base_exceptions
    return (OSError, *kinds) if isinstance(kinds, tuple) else (OSError, kinds)
