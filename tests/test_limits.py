import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from gpt_assistant_api import limits
from gpt_assistant_api.domain.errors import RateLimitedError
from gpt_assistant_api.limits import Limiter, open_limiter
from tests.processes import free_port


@pytest.fixture(params=["memory", "redis"])
def store_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "redis":
        # On a busy machine the store is not away because it is slow.
        monkeypatch.setattr(limits, "STORE_SECONDS", 30.0)
        return str(request.getfixturevalue("redis_url"))
    # In memory a window ends with the clock's minute: keep it from ending in the middle of a test.
    middle_of_a_minute = SimpleNamespace(time=lambda: 1_800_000_030.0)
    monkeypatch.setattr("limits.aio.storage.memory.time", middle_of_a_minute)
    return "memory://"


@asynccontextmanager
async def opened(url: str, requests_per_minute: int) -> AsyncIterator[Limiter]:
    limiter = open_limiter(url, requests_per_minute)
    try:
        yield limiter
    finally:
        await limiter.close()


async def count_accepted(limiter: Limiter, requests: int, *identities: str) -> int:
    answers = await asyncio.gather(
        *(limiter.hit(*identities) for _ in range(requests)), return_exceptions=True
    )
    assert all(answer is None or isinstance(answer, RateLimitedError) for answer in answers)
    return answers.count(None)


async def test_a_caller_gets_so_many_requests_a_minute_and_then_a_time_to_come_back(
    store_url: str,
) -> None:
    async with opened(store_url, 5) as limiter:
        for _ in range(5):
            await limiter.hit("user:ada")
        with pytest.raises(RateLimitedError) as refusal:
            await limiter.hit("user:ada")
    assert refusal.value.code == "rate_limited"
    assert refusal.value.message == "At most 5 requests a minute are accepted."
    assert 1 <= refusal.value.retry_after_seconds <= 120


async def test_requests_at_the_same_moment_share_one_limit(store_url: str) -> None:
    async with opened(store_url, 20) as limiter:
        assert await count_accepted(limiter, 200, "user:burst") == 20


async def test_callers_do_not_use_up_each_others_limit(store_url: str) -> None:
    async with opened(store_url, 2) as limiter:
        for user in ("bob", "böb", "bob/60", "user:bob", "b" * 255, "{bob}"):
            assert await count_accepted(limiter, 4, f"user:{user}") == 2


async def test_a_request_counts_for_its_user_and_its_key(store_url: str) -> None:
    async with opened(store_url, 3) as limiter:
        assert await count_accepted(limiter, 2, "user:cy", "key:web") == 2
        assert await count_accepted(limiter, 2, "user:dot", "key:web") == 1


async def test_what_a_users_limit_refuses_costs_the_key_nothing(store_url: str) -> None:
    async with opened(store_url, 3) as limiter:
        assert await count_accepted(limiter, 3, "user:eve") == 3
        assert await count_accepted(limiter, 9, "user:eve", "key:app") == 0
        assert await count_accepted(limiter, 3, "user:fay", "key:app") == 3


async def test_two_processes_share_a_limit_in_redis(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the store is not away because it is slow.
    monkeypatch.setattr(limits, "STORE_SECONDS", 30.0)
    async with opened(redis_url, 4) as one, opened(redis_url, 4) as other:
        assert await count_accepted(one, 3, "user:gus") == 3
        assert await count_accepted(other, 3, "user:gus") == 1


async def test_zero_means_no_limit_and_no_store() -> None:
    async with opened(f"redis://127.0.0.1:{free_port()}", 0) as limiter:
        with capture_logs() as logs:
            assert await count_accepted(limiter, 1_000, "user:ada", "key:web") == 1_000
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
                assert await count_accepted(limiter, 2, "user:ada") == 2
                clock.now += limits.PAUSE_SECONDS
            assert len(logs) == 1
            clock.now += limits.WARNING_SECONDS
            await limiter.hit("user:ada")
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
            await limiter.hit("user:ada")
            asked = connections
            assert await count_accepted(limiter, 100, "user:ada") == 100
            assert connections == asked
            clock.now += limits.PAUSE_SECONDS
            await limiter.hit("user:ada")
            assert connections > asked


async def test_a_store_that_comes_back_counts_again(
    clock: SimpleNamespace, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(redis_url, 1) as limiter:
        count: Callable[..., Any] = limiter._count

        async def broken(identity: str) -> int:
            raise ConnectionError(identity)

        monkeypatch.setattr(limiter, "_count", broken)
        assert await count_accepted(limiter, 3, "user:hal") == 3
        monkeypatch.setattr(limiter, "_count", count)
        clock.now += limits.PAUSE_SECONDS
        assert await count_accepted(limiter, 3, "user:hal") == 1
