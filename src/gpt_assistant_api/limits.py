"""How many requests a minute a caller may make: the only module that knows the `limits` library."""

import asyncio
import hmac
import math
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

STORE_SECONDS = 0.5
PAUSE_SECONDS = 5
WARNING_SECONDS = 60
# Fewer than the Redis client has connections, which raises when they run out: a burst of requests
# must not look like an outage.
CONCURRENT_COUNTS = 50
_TURNS = 10

Quota = Literal["user", "key"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands to a limit: what is left of it, and after how long there is more."""

    quota: Quota
    limit: int
    remaining: int
    reset_seconds: int
    exceeded: bool


class Limiter:
    """Counts the requests of each user and of each key over a sliding minute.

    While the store fails or is silent, requests pass uncounted: a limit protects the service, and
    must not be what stops it. The store is then left alone for some seconds, so that an outage
    does not slow every request down. The store sees no names: what a counter is called, nobody can
    tell who does not have `secret`.
    """

    def __init__(
        self,
        storage: MemoryStorage | RedisStorage,
        *,
        per_user: int,
        per_key: int,
        secret: bytes = b"",
    ) -> None:
        self._storage = storage
        self._limits: dict[Quota, RateLimitItemPerMinute] = {
            "user": RateLimitItemPerMinute(per_user),
            "key": RateLimitItemPerMinute(per_key),
        }
        self._secret = secret
        self._window = SlidingWindowCounterRateLimiter(storage)
        self._failures = _failures(storage)
        self._slots = asyncio.Semaphore(CONCURRENT_COUNTS)
        self._paused_until = -math.inf
        self._silent_until = -math.inf

    async def hit(self, quota: Quota, name: str) -> Standing | None:
        """Count one request of a user or a key; one that exceeds the limit is not counted.

        None where there is no limit, or no store to count in.
        """
        if not self._limits[quota].amount:
            return None
        async with self._slots:
            if time.monotonic() < self._paused_until:
                return None
            try:
                return await _patiently(self._count(quota, name))
            except self._failures as error:
                self._pause(error)
                return None

    async def _count(self, quota: Quota, name: str) -> Standing:
        limit = self._limits[quota]
        text = f"{quota}:{name}".encode("utf-8", "surrogatepass")
        counter = hmac.digest(self._secret, text, "sha256").hex()
        counted = await self._window.hit(limit, counter)
        stats = await self._window.get_window_stats(limit, counter)
        return Standing(
            quota,
            limit.amount,
            stats.remaining if counted else 0,
            max(1, math.ceil(stats.reset_time - time.time())),
            exceeded=not counted,
        )

    def _pause(self, error: Exception) -> None:
        now = time.monotonic()
        self._paused_until = now + PAUSE_SECONDS
        if now >= self._silent_until:
            self._silent_until = now + WARNING_SECONDS
            log.warning("requests are not limited: no store", error=type(error).__name__)


def open_limiter(redis_pool: Any, *, per_user: int, per_key: int, secret: bytes) -> Limiter:
    """Return a limiter that counts in Redis, or in this process (None); 0 limits nothing.

    The connections are not closed with it: whoever made them goes on using them.
    """
    storage = (
        RedisStorage("async+redis://", implementation="redispy", connection_pool=redis_pool)
        if redis_pool is not None and (per_user or per_key)
        else MemoryStorage()
    )
    return Limiter(storage, per_user=per_user, per_key=per_key, secret=secret)


async def _patiently(counting: Coroutine[Any, Any, Standing]) -> Standing:
    """Wait for the store, by turns of the event loop and not by the clock.

    Where the loop itself was busy for long, the reply is there and unread: whatever time has
    passed, a turn later it is found. Raises TimeoutError after several turns without one.
    """
    task = asyncio.ensure_future(counting)
    try:
        for _ in range(_TURNS):
            await asyncio.wait((task,), timeout=STORE_SECONDS / _TURNS)
            if task.done():
                return task.result()
        raise TimeoutError
    finally:
        task.cancel()


def _failures(storage: MemoryStorage | RedisStorage) -> tuple[type[Exception], ...]:
    kinds = storage.base_exceptions
    return (OSError, *kinds) if isinstance(kinds, tuple) else (OSError, kinds)
