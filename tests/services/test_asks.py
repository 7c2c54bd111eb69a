"""Asks that meet: under one key, over a limit, and while the user goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from gpt_assistant_api.db import Database, Tx, runs
from gpt_assistant_api.domain.asks import Ask, Asked, RunLimits
from gpt_assistant_api.domain.errors import ConflictError, RateLimitedError
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.services.asks import ask
from gpt_assistant_api.services.runs import cancel_run
from tests.db.builders import count
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


async def test_an_ask_is_one_transaction_of_seven_statements(
    sqlite: Database, engine: Engine, anybody: Actor
) -> None:
    database = Counting(sqlite)
    first = await ask(database, engine, NO_LIMITS, anybody, Ask("ada", "Hi"))
    await cancel_run(sqlite, engine, anybody, first.run.run_id)
    await ask(database, engine, NO_LIMITS, anybody, Ask("ada", "Hi", first.thread.thread_id))
    assert database.counts == [7, 7]
