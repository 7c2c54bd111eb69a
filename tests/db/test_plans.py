"""What every list query costs: its page, and not its table."""

from pathlib import Path
from typing import Any

import pytest

from gpt_assistant_api.db import Database, messages, runs
from tests.db.builders import NOON
from tests.db.plans import MESSAGES, Recorder, fill, forbid_scans, list_queries, steps

PAGE = 21


@pytest.fixture
async def filled(database: Database) -> Database:
    """Fill a database of either kind."""
    await fill(database)
    return database


async def test_no_list_query_reads_or_sorts_a_whole_table(filled: Database) -> None:
    costly: dict[str, list[str]] = {}
    for name, query in list_queries().items():
        async with filled.read() as tx:
            await forbid_scans(tx)
            recorder = Recorder(tx)
            await query(recorder)
            if scans := await recorder.scans():
                costly[name] = scans
    assert costly == {}


async def test_a_page_takes_few_steps_wherever_it_begins(
    sqlite: Database, sqlite_file: Path
) -> None:
    await fill(sqlite)
    many: dict[str, int] = {}
    for name, query in list_queries().items():
        async with sqlite.read() as tx:
            recorder = Recorder(tx)
            await query(recorder)
        taken = sum(steps(sqlite_file, sql, params) for sql, params in recorder.statements)
        if taken > 100 * PAGE:
            many[name] = taken
    assert many == {}


async def test_what_every_run_does_at_its_end_reads_no_table_whole(filled: Database) -> None:
    async with filled.write() as tx:
        await forbid_scans(tx)
        recorder: Any = Recorder(tx)
        page = await messages.fetch_branch(recorder, "thread_0", newest_id=MESSAGES, limit=20)
        await messages.with_relations(recorder, page)
        await messages.end_answer(
            recorder, MESSAGES, status="completed", content="The end", tokens=5
        )
        run = await runs.fetch_run(recorder, f"run_{MESSAGES}")
        assert run is not None
        await runs.hand_on_thread(recorder, run, NOON)
        assert await recorder.scans() == []
