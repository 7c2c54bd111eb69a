"""Erasing a user while others do something for them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gpt_assistant_api.blobs import Blobs
from gpt_assistant_api.db import Database, open_database, runs, threads
from gpt_assistant_api.domain.asks import Ask, RunLimits
from gpt_assistant_api.domain.ids import new_id
from gpt_assistant_api.domain.runs import Run
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.services.asks import ask
from gpt_assistant_api.services.users import delete_user


async def someone_waits_for_a_lock(database: Database) -> None:
    """Wait until a statement of another connection waits."""
    waiting = None
    async with asyncio.timeout(10):
        while waiting is None:
            async with database.read() as tx:
                waiting = await tx.fetch_one(
                    "SELECT pid FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )


@pytest.fixture
async def database(new_postgres_url: str) -> AsyncIterator[Database]:
    """A database with several writers at a time."""
    opened = await open_database(new_postgres_url)
    yield opened
    await opened.close()


async def test_a_run_that_is_begun_while_its_user_is_erased_is_stopped_with_the_others(
    database: Database,
    blobs: Blobs,
    engine: Engine,
    anybody: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropped = []

    async def drop_run(_: Engine, run: Run) -> None:
        dropped.append(run.run_id)

    monkeypatch.setattr(Engine, "drop_run", drop_run)
    asked = await ask(database, engine, RunLimits(), anybody, Ask("ada", "Why?"))
    async with database.write() as tx:
        await threads.lock_thread(tx, asked.thread.thread_id, user_id="ada")
        erasing = asyncio.ensure_future(delete_user(database, blobs, engine, anybody, "ada"))
        await someone_waits_for_a_lock(database)
        run = replace(asked.run, run_id=new_id("run"))
        await runs.insert_run(tx, run)
    await erasing
    assert sorted(dropped) == sorted([asked.run.run_id, run.run_id])
