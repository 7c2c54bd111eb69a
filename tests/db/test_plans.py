"""What every list query costs: its page, and not its table."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gpt_assistant_api.db import Database, files, messages, runs, usage
from gpt_assistant_api.domain.usage import Used
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


async def test_what_a_limit_and_a_bill_ask_for_is_found_by_an_index(filled: Database) -> None:
    today = NOON.date()
    async with filled.write() as tx:
        for number in range(400):
            for user_id in ("ada", "bob"):
                await usage.add_usage(tx, user_id, today - timedelta(number), Used(1, 2, 3, 5))
            await usage.add_key_tokens(tx, "key_1", today - timedelta(number), 5, run_id="run_1")
        await tx.execute("ANALYZE")
    async with filled.read() as tx:
        await forbid_scans(tx)
        recorder = Recorder(tx)
        days = await usage.fetch_usage(recorder, "ada", today - timedelta(365), today)
        assert len(days) == 366
        assert await usage.count_tokens(recorder, "ada", today) == 5
        assert await usage.count_key_tokens(recorder, "key_1", today) == 5
        assert await files.count_bytes(recorder, "ada") == MESSAGES
        assert await runs.count_unfinished_of_key(recorder, "key_1") == 0
        assert await recorder.scans() == []
