"""Asks that meet: under one key, over a limit, and while the user goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from gpt_assistant_api.db import Database, Tx, keys, runs
from gpt_assistant_api.domain.asks import Ask, Asked, RunLimits
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import ConflictError, RateLimitedError
from gpt_assistant_api.domain.keys import ApiKey
from gpt_assistant_api.domain.runs import Usage
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.services.asks import ask
from gpt_assistant_api.services.runs import cancel_run
from tests.db.builders import NOON, count
from tests.db.plans import Recorder

NO_LIMITS = RunLimits()


async def test_of_one_request_sent_often_at_once_to_one_thread_all_get_the_same_run(
    database: Database, engine: Engine, anybody: Actor
) -> None:
    first = await ask(database, engine, NO_LIMITS, anybody, Ask("ada", "Hi"))
    await cancel_run(database, engine, anybody, first.run.run_id)
    request = Ask("ada", "Again", first.thread.thread_id, idempotency_key="k", fingerprint="f")
    asked = await asyncio.gather(
        *(ask(database, engine, NO_LIMITS, anybody, request) for _ in range(8))
    )
    assert len({one.run.run_id for one in asked}) == 1
    assert await count(database, "messages") == 4


async def test_a_limit_on_concurrent_runs_holds_for_asks_at_the_same_moment(
    database: Database, engine: Engine, anybody: Actor
) -> None:
    outcomes = await asyncio.gather(
        *(ask(database, engine, RunLimits(2), anybody, Ask("ada", "Hi")) for _ in range(8)),
        return_exceptions=True,
    )
    assert len([one for one in outcomes if isinstance(one, Asked)]) == 2
    assert len([one for one in outcomes if isinstance(one, RateLimitedError)]) == 6


async def test_a_limit_of_a_key_holds_for_all_its_users_at_the_same_moment(
    database: Database, engine: Engine
) -> None:
    async with database.write() as tx:
        for key_id in ("key_1", "key_2"):
            await keys.insert_key(tx, ApiKey(key_id, "app", key_id, "gaa_abc", NOON, None))
    limits = RunLimits(concurrent_runs=2, concurrent_runs_per_key=3)

    async def asks(key_id: str, *names: str) -> list[Asked]:
        outcomes = await asyncio.gather(
            *(ask(database, engine, limits, Actor("key", key_id), Ask(n, "Hi")) for n in names),
            return_exceptions=True,
        )
        refused = [one for one in outcomes if not isinstance(one, Asked)]
        assert all(isinstance(one, RateLimitedError) for one in refused)
        assert all("of this key" in str(one) for one in refused)
        return [one for one in outcomes if isinstance(one, Asked)]

    asked = await asks("key_1", *(f"user_{number}" for number in range(9)))
    assert len(asked) == 3
    assert len(await asks("key_2", "ada")) == 1
    actor = Actor("key", "key_1")
    await cancel_run(database, engine, actor, asked[0].run.run_id)
    assert len(await asks("key_1", "bob", "cy")) == 1


async def test_the_tokens_of_a_key_are_those_of_all_its_users(
    database: Database, engine: Engine, anybody: Actor
) -> None:
    limits = RunLimits(tokens_per_day=100, tokens_per_day_per_key=150)
    for user_id in ("ada", "bob"):
        asked = await ask(database, engine, limits, Actor("key", "key_1"), Ask(user_id, "Hi"))
        async with database.write() as tx:
            await runs.claim_run(
                tx, asked.run.run_id, worker_id="worker_1", model="sim", started_at=NOON
            )
            await runs.end_run(
                tx, asked.run.run_id, attempt=1, status="completed", ended_at=utc_now(),
                usage=Usage(40, 40, 80),
            )  # fmt: skip
    with pytest.raises(RateLimitedError, match="This key's tokens") as refusal:
        await ask(database, engine, limits, Actor("key", "key_1"), Ask("cy", "Hi"))
    assert refusal.value.code == "too_many_tokens"
    assert 1 <= refusal.value.retry_after_seconds <= 86_400
    for actor in (Actor("key", "key_2"), anybody):
        await ask(database, engine, limits, actor, Ask("ada", "Hi"))


async def test_interrupting_stops_the_active_run_and_all_that_wait(
    database: Database, engine: Engine, anybody: Actor
) -> None:
    first = await ask(database, engine, NO_LIMITS, anybody, Ask("ada", "a"))
    thread_id = first.thread.thread_id
    waiting = [
        await ask(database, engine, NO_LIMITS, anybody, Ask("ada", p, thread_id, if_busy="enqueue"))
        for p in ("b", "c")
    ]
    last = await ask(
        database, engine, NO_LIMITS, anybody, Ask("ada", "d", thread_id, if_busy="interrupt")
    )
    async with database.read() as tx:
        unfinished = await runs.fetch_unfinished_of_thread(tx, thread_id, user_id="ada")
        for stopped in (first, *waiting):
            run = await runs.fetch_run(tx, stopped.run.run_id)
            assert run is not None
            assert run.status == "cancelled"
    assert [run.run_id for run in unfinished] == [last.run.run_id]
    assert last.thread.active_run_id == last.run.run_id
    with pytest.raises(ConflictError):
        await ask(database, engine, NO_LIMITS, anybody, Ask("ada", "e", thread_id))


async def test_a_waiting_run_that_is_cancelled_hands_nothing_on(
    database: Database, engine: Engine, anybody: Actor
) -> None:
    first = await ask(database, engine, NO_LIMITS, anybody, Ask("ada", "a"))
    thread_id = first.thread.thread_id
    second, third = [
        await ask(database, engine, NO_LIMITS, anybody, Ask("ada", p, thread_id, if_busy="enqueue"))
        for p in ("b", "c")
    ]
    async with database.write() as tx:
        await runs.cancel_run(tx, second.run.run_id, second.run.created_at)
        assert await runs.hand_on_thread(tx, second.run, second.run.created_at) is None
        await runs.cancel_run(tx, first.run.run_id, first.run.created_at)
        handed = await runs.hand_on_thread(tx, first.run, first.run.created_at)
    assert handed == third.run.run_id


class Counting:
    """A database that counts transactions and their statements."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.check, self.close, self.pools = database.check, database.close, database.pools
        self.counts: list[int] = []

    def read(self) -> AbstractAsyncContextManager[Tx]:
        return self._counted(self._database.read())

    def write(self) -> AbstractAsyncContextManager[Tx]:
        return self._counted(self._database.write())

    @asynccontextmanager
    async def _counted(self, block: AbstractAsyncContextManager[Tx]) -> AsyncIterator[Tx]:
        async with block as tx:
            recorder = Recorder(tx)
            yield recorder
            self.counts.append(len(recorder.statements))


async def test_an_ask_is_one_transaction_of_six_statements(
    sqlite: Database, engine: Engine, anybody: Actor
) -> None:
    database = Counting(sqlite)
    first = await ask(database, engine, NO_LIMITS, anybody, Ask("ada", "Hi"))
    await cancel_run(sqlite, engine, anybody, first.run.run_id)
    await ask(database, engine, NO_LIMITS, anybody, Ask("ada", "Hi", first.thread.thread_id))
    assert database.counts == [6, 6]
