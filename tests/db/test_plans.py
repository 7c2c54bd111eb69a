"""What every list query costs: its page, and not its table."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from gpt_assistant_api.db import Database, files, messages, runs, threads
from tests.db.builders import NOON
from tests.db.plans import MESSAGES, Recorder, fill

Query = Callable[[Any], Awaitable[Any]]

LISTS: dict[str, Query] = {
    "threads": lambda tx: threads.fetch_threads(tx, "ada", before=None, limit=21),
    "later threads": lambda tx: threads.fetch_threads(
        tx, "ada", before=(NOON, "thread_5"), limit=21
    ),
    "a branch": lambda tx: messages.fetch_branch(tx, "thread_0", newest_id=MESSAGES, limit=21),
    "history": lambda tx: messages.fetch_history(tx, MESSAGES, cut_before=MESSAGES * 10 - 200),
    "the last question": lambda tx: messages.fetch_last_question(
        tx, "thread_0", head_id=MESSAGES
    ),
    "the end of a branch": lambda tx: messages.fetch_branch_end(tx, "thread_0", MESSAGES - 5),
    "all messages": lambda tx: messages.fetch_all_messages(
        tx, "thread_0", before=None, limit=21
    ),
    "messages before": lambda tx: messages.fetch_all_messages(
        tx, "thread_0", before=2_000, limit=21
    ),
    "messages with files": lambda tx: messages.fetch_all_messages(
        tx, "thread_0", before=2_000, limit=21, with_files=True
    ),
    "messages after": lambda tx: messages.fetch_messages_after(
        tx, "thread_0", after=2_000, limit=21
    ),
    "unfinished runs": lambda tx: runs.fetch_unfinished(tx, created_before=NOON, limit=10),
    "runs of a user": lambda tx: runs.fetch_runs_of_user(tx, "ada", after=None, limit=20),
    "later runs": lambda tx: runs.fetch_runs_of_user(
        tx, "ada", after=(NOON - timedelta(1), "run_5"), limit=20
    ),
    "files of a user": lambda tx: files.fetch_files_of_user(
        tx, "ada", after="file_5", limit=20
    ),
    "files of messages": lambda tx: files.fetch_files_of(tx, [1, 11, 21]),
}  # fmt: skip


@pytest.fixture
async def filled(database: Database) -> Database:
    """Fill a database of either kind."""
    await fill(database)
    return database


async def test_no_list_query_reads_or_sorts_a_whole_table(filled: Database) -> None:
    costly: dict[str, list[str]] = {}
    for name, query in LISTS.items():
        async with filled.read() as tx:
            recorder = Recorder(tx)
            await query(recorder)
            if scans := await recorder.scans():
                costly[name] = scans
    assert costly == {}


async def test_what_every_run_does_at_its_end_reads_no_table_whole(filled: Database) -> None:
    async with filled.write() as tx:
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
