"""The event log: what is published is watched, kept, and held in memory no longer than needed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from gpt_assistant_api.domain.events import (
    BEGINNING,
    Event,
    EventId,
    MessageDelta,
    MessageStarted,
    RunEnded,
    RunRestarted,
)
from gpt_assistant_api.engine import Engine, EventLog, open_engine
from gpt_assistant_api.engine.redis import connected
from gpt_assistant_api.engine.streams import Streams
from tests.engine.conftest import make_run
from tests.fixtures.redis import RedisServer


@pytest.fixture
async def engine(engine_url: str) -> AsyncIterator[Engine]:
    async with open_engine(engine_url) as engine:
        yield engine


@pytest.fixture
def log(engine: Engine) -> EventLog:
    return engine.events


async def seen(log: EventLog, run_id: str = "run_1", after: EventId = BEGINNING) -> list[Event]:
    """Watch a run to its end."""
    events: list[Event] = []
    async with asyncio.timeout(10), aclosing(log.watch(run_id, after)) as batches:
        async for batch in batches:
            events += [logged.event for logged in batch]
    return events


def held(log: EventLog) -> list[Any]:
    """Return whatever the log keeps in memory about runs."""
    archive = log._archive
    return [*log._channels, *(archive._followed if isinstance(archive, Streams) else ())]


async def is_empty(log: EventLog) -> None:
    """Wait until the log keeps nothing in memory."""
    async with asyncio.timeout(10):
        while held(log):  # noqa: ASYNC110 - the log tells nobody
            await asyncio.sleep(0.01)


async def test_nothing_follows_the_end(log: EventLog) -> None:
    told: list[Event] = [MessageDelta("All", 0), RunEnded(make_run())]
    for event in told:
        log.publish("run_1", 1, event)
    assert log.publish("run_1", 2, RunEnded(make_run(attempt=2))) is None
    assert await seen(log) == told


async def test_who_has_seen_more_elsewhere_is_not_told_it_again(log: EventLog) -> None:
    log.publish("run_1", 1, MessageStarted(2))
    async with aclosing(log.watch("run_1", EventId(1, 2))) as batches:
        assert await anext(batches) == []
        log.publish("run_1", 1, MessageDelta("known ", 0))
        log.publish("run_1", 1, MessageDelta("new", 6))
        assert [logged.id for logged in await anext(batches)] == [EventId(1, 3)]


async def test_after_many_runs_nothing_is_held_in_memory_and_everything_can_be_replayed(
    log: EventLog,
) -> None:
    told: list[Event] = [MessageStarted(2), MessageDelta("Hi", 0), RunEnded(make_run())]
    for number in range(20):
        watcher = asyncio.ensure_future(seen(log, f"run_{number}"))
        await asyncio.sleep(0)
        for event in told:
            log.publish(f"run_{number}", 1, event)
        log.release(f"run_{number}")
        assert await watcher == told
    await is_empty(log)
    for number in range(20):
        assert await seen(log, f"run_{number}") == told
        assert await seen(log, f"run_{number}", EventId(1, 2)) == told[2:]
    assert held(log) == []


async def test_a_watcher_that_goes_away_leaves_nothing_behind(log: EventLog) -> None:
    watchers = [asyncio.ensure_future(seen(log, f"run_{number}")) for number in range(10)]
    async with asyncio.timeout(10):
        while len(log._channels) < 10:  # noqa: ASYNC110 - the log tells nobody
            await asyncio.sleep(0.01)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    assert held(log) == []


async def test_an_overtaken_attempt_publishes_nothing(log: EventLog) -> None:
    log.publish("run_1", 1, MessageDelta("Old", 0))
    assert log.publish("run_1", 2, RunRestarted(2)) == EventId(2, 1)
    assert log.publish("run_1", 1, MessageDelta("older", 3)) is None


async def test_what_is_pending_when_the_process_stops_is_written(redis_url: str) -> None:
    async with open_engine(redis_url) as other:
        async with open_engine(redis_url) as engine:
            for number in range(200):
                engine.events.publish("run_1", 1, MessageDelta("x", number))
                if number == 100:
                    await asyncio.sleep(0.026)  # the writer is now at any point of its work
            engine.events.publish("run_1", 1, RunEnded(make_run()))
        assert len(await seen(other.events)) == 201


async def test_another_replica_follows_a_run_that_goes_on_elsewhere(redis_url: str) -> None:
    async with open_engine(redis_url) as a, open_engine(redis_url) as b:
        watchers = [asyncio.ensure_future(seen(b.events, f"run_{n}")) for n in range(3)]
        told: list[Event] = [MessageDelta("One", 0), MessageDelta("two", 3)]
        for number in range(3):
            for event in told:
                a.events.publish(f"run_{number}", 1, event)
        await is_written(a.events)
        for number in range(3):
            a.events.publish(f"run_{number}", 1, RunEnded(make_run()))
            a.events.release(f"run_{number}")
        for events in await asyncio.gather(*watchers):
            assert events == [*told, RunEnded(make_run())]
        await is_empty(a.events)
        await is_empty(b.events)


async def test_what_a_store_has_forgotten_leaves_no_hole_in_what_is_watched(
    redis_server: RedisServer,
) -> None:
    async with open_engine(redis_server.url) as a, open_engine(redis_server.url) as b:
        for number in range(3):
            a.events.publish("run_1", 1, MessageDelta("x", number))
        await is_written(a.events)
        early = b.events.watch("run_1")
        told = [logged.event for logged in await anext(early)]
        await asyncio.to_thread(redis_server.stop)
        a.events.publish("run_1", 1, MessageDelta("lost", 3))
        a.events.publish("run_1", 1, MessageDelta("kept", 7))
        await asyncio.to_thread(redis_server.start)
        await is_written(a.events)
        for event in (RunRestarted(2), MessageDelta("y", 0), RunEnded(make_run(attempt=2))):
            a.events.publish("run_1", 2, event)
        again = [RunRestarted(2), MessageDelta("y", 0), RunEnded(make_run(attempt=2))]
        kept = [MessageDelta("lost", 3), MessageDelta("kept", 7)]
        before = [MessageDelta("x", number) for number in range(3)]
        async with asyncio.timeout(30), aclosing(early):
            async for batch in early:
                told += [logged.event for logged in batch]
        assert told == [*before, *kept, *again]
        await is_written(a.events)
        a.events.release("run_1")
        async with open_engine(redis_server.url) as late:
            assert await seen(late.events) == again


async def test_what_redis_refuses_is_kept_until_it_takes_it(redis_server: RedisServer) -> None:
    async with (
        connected(redis_server.url) as redis,
        open_engine(redis_server.url) as a,
        open_engine(redis_server.url) as b,
    ):
        await redis.config_set("maxmemory", 1)
        told: list[Event] = [MessageDelta("kept", 0), RunEnded(make_run())]
        with capture_logs() as lines:
            for event in told:
                a.events.publish("run_1", 1, event)
            async with asyncio.timeout(10):
                while not lines:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
        await redis.config_set("maxmemory", 0)
        await is_written(a.events)
        assert await seen(b.events) == told


async def test_an_entry_of_another_form_stops_nobody_else(redis_server: RedisServer) -> None:
    async with (
        connected(redis_server.url) as redis,
        open_engine(redis_server.url) as a,
        open_engine(redis_server.url) as b,
    ):
        other = asyncio.ensure_future(seen(b.events, "run_2"))
        with capture_logs() as lines:
            broken = asyncio.ensure_future(seen(b.events, "run_1"))
            async with asyncio.timeout(10):
                while not lines:
                    await redis.xadd("gpt-assistant-api:log:run_1", {b"odd": b"form"})
                    await asyncio.sleep(0.05)
        told: list[Event] = [MessageDelta("text", 0), RunEnded(make_run("run_2"))]
        for event in told:
            a.events.publish("run_2", 1, event)
        assert await other == told
        broken.cancel()
        await asyncio.gather(broken, return_exceptions=True)


async def is_written(log: EventLog) -> None:
    """Wait until the engine's stream has everything."""
    async with asyncio.timeout(10):
        while any(log._archive.owes(run_id) for run_id in log._channels):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_watchers_of_a_deleted_run_are_told_at_once(engine: Engine) -> None:
    run = make_run(attempt=1, status="in_progress")
    engine.events.publish("run_1", 1, MessageDelta("Never", 0))
    watcher = asyncio.ensure_future(seen(engine.events))
    await asyncio.sleep(0)
    dropping = asyncio.ensure_future(engine.drop_run(run))
    await asyncio.sleep(0)
    # Later it is the stream that refuses this, once the process has forgotten the run.
    assert engine.events.publish("run_1", 1, MessageDelta("more", 5)) is None
    await dropping
    *_, end = await watcher
    assert isinstance(end, RunEnded)
    assert end.run.status == "cancelled"
    await is_empty(engine.events)
