import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import redis.asyncio
from structlog.testing import capture_logs

from gpt_assistant_api import limits
from gpt_assistant_api.limits import Limiter, Quota, open_limiter
from tests.processes import free_port


@pytest.fixture(params=["memory", "redis"])
def store_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    # In memory a window ends with the clock's minute: keep it from ending in the middle of a test.
    middle_of_a_minute = SimpleNamespace(time=lambda: 1_800_000_030.0)
    monkeypatch.setattr("limits.aio.storage.memory.time", middle_of_a_minute)
    return "memory://"


@asynccontextmanager
async def opened(url: str, per_user: int, per_key: int = 0) -> AsyncIterator[Limiter]:
    pool = None if url == "memory://" else redis.asyncio.ConnectionPool.from_url(url)
    yield open_limiter(pool, per_user=per_user, per_key=per_key, secret=b"of this installation")
    if pool is not None:
        await pool.aclose()


async def count_accepted(
    limiter: Limiter, requests: int, name: str = "ada", quota: Quota = "user"
) -> int:
    standings = await asyncio.gather(*(limiter.hit(quota, name) for _ in range(requests)))
    return sum(standing is None or not standing.exceeded for standing in standings)


async def test_a_caller_gets_so_many_requests_a_minute_and_then_a_time_to_come_back(
    store_url: str,
) -> None:
    async with opened(store_url, 5) as limiter:
        standings = [await limiter.hit("user", "ada") for _ in range(6)]
    assert all(standing is not None and standing.limit == 5 for standing in standings)
    told = [(one.remaining, one.exceeded) for one in standings if one is not None]
    assert told == [(4, False), (3, False), (2, False), (1, False), (0, False), (0, True)]
    assert all(1 <= one.reset_seconds <= 120 for one in standings if one is not None)


async def test_requests_at_the_same_moment_share_one_limit(store_url: str) -> None:
    async with opened(store_url, 20) as limiter:
        assert await count_accepted(limiter, 200) == 20


async def test_callers_do_not_use_up_each_others_limit(store_url: str) -> None:
    async with opened(store_url, 2, per_key=3) as limiter:
        for user in ("bob", "böb", "bob/60", "user:bob", "b" * 255, "{bob}", "\ud800"):
            assert await count_accepted(limiter, 4, user) == 2
        assert await count_accepted(limiter, 4, "bob", "key") == 3
        assert await count_accepted(limiter, 4, "b", "key") == 3


async def test_a_user_may_be_limited_without_the_key_and_the_key_without_the_user(
    store_url: str,
) -> None:
    async with opened(store_url, 2) as limiter:
        assert await count_accepted(limiter, 9, "app", "key") == 9
        assert await limiter.hit("key", "app") is None
    async with opened(store_url, 0, per_key=2) as limiter:
        assert await count_accepted(limiter, 9, "bob") == 9
        assert await count_accepted(limiter, 9, "app", "key") == 2


async def test_two_processes_share_a_limit_in_redis(redis_url: str) -> None:
    async with opened(redis_url, 4) as one, opened(redis_url, 4) as other:
        assert await count_accepted(one, 3) == 3
        assert await count_accepted(other, 3) == 1


async def test_what_redis_keeps_expires_and_tells_nobody_who_was_counted(redis_url: str) -> None:
    async with opened(redis_url, 4, per_key=4) as limiter:
        await count_accepted(limiter, 6, "ada@example.com")
        await count_accepted(limiter, 6, "key_1", "key")
    store = redis.asyncio.from_url(redis_url)
    names = await store.keys("*")
    lifetimes = [await store.ttl(name) for name in names]
    await store.aclose()
    assert len(names) >= 2
    assert not any(b"ada" in name or b"key_1" in name for name in names)
    plain = [hashlib.sha256(text).hexdigest().encode() for text in (b"user:ada@example.com",)]
    assert not any(guess in name for guess in plain for name in names)
    assert all(0 < seconds <= 120 for seconds in lifetimes)


async def test_a_busy_event_loop_is_not_taken_for_a_silent_store(redis_url: str) -> None:
    async with opened(redis_url, 1) as limiter:
        await limiter.hit("user", "warm the connection up")
        with capture_logs() as logs:
            counting = asyncio.ensure_future(limiter.hit("user", "ada"))
            await asyncio.sleep(0)
            time.sleep(2 * limits.STORE_SECONDS)  # noqa: ASYNC251 - the loop is to be blocked
            first = await counting
            second = await limiter.hit("user", "ada")
    assert logs == []
    assert first is not None and not first.exceeded  # noqa: PT018
    assert second is not None and second.exceeded  # noqa: PT018


async def test_zero_means_no_limit_and_no_store() -> None:
    async with opened(f"redis://127.0.0.1:{free_port()}", 0) as limiter:
        with capture_logs() as logs:
            assert await count_accepted(limiter, 1_000) == 1_000
    assert logs == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1_000.0)
    clock.monotonic = lambda: clock.now
    clock.time = lambda: clock.now
    monkeypatch.setattr(limits, "time", clock)
    return clock


async def test_without_its_store_requests_pass_and_the_log_says_so_once_a_minute(
    clock: SimpleNamespace,
) -> None:
    async with opened(f"redis://127.0.0.1:{free_port()}", 1) as limiter:
        with capture_logs() as logs:
            for _ in range(5):
                assert await count_accepted(limiter, 2) == 2
                clock.now += limits.PAUSE_SECONDS
            assert len(logs) == 1
            clock.now += limits.WARNING_SECONDS
            await limiter.hit("user", "ada")
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("warning", "requests are not limited: no store")
    ] * 2


async def test_a_silent_store_is_asked_once_and_then_left_alone_for_a_while(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STORE_SECONDS", 0.05)
    connections = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}", 1) as limiter:
            await limiter.hit("user", "ada")
            asked = connections
            assert await count_accepted(limiter, 100) == 100
            assert connections == asked
            clock.now += limits.PAUSE_SECONDS
            await limiter.hit("user", "ada")
            assert connections > asked


async def test_a_store_that_comes_back_counts_again(
    clock: SimpleNamespace, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(redis_url, 1) as limiter:
        count: Callable[..., Any] = limiter._count

        async def broken(quota: Quota, name: str) -> int:
            raise ConnectionError(name)

        monkeypatch.setattr(limiter, "_count", broken)
        assert await count_accepted(limiter, 3, "hal") == 3
        monkeypatch.setattr(limiter, "_count", count)
        clock.now += limits.PAUSE_SECONDS
        assert await count_accepted(limiter, 3, "hal") == 1
