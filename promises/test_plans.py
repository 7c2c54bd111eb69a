"""A million messages, a hundred thousand of them in one thread, and a page costs a page."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import asyncpg
import pytest
from tests.db.plans import Query, Recorder, list_queries
from tests.fixtures.databases import PostgresServer

from gpt_assistant_api.db import Database, messages, migrate, open_database
from gpt_assistant_api.domain.clock import utc_now

MESSAGES = 1_000_000
THREADS = 100_000
LONG_THREAD = 100_000
"""The messages 1..100,000 are one branch of `thread_0`; `thread_1` has the next thousand."""

SHORT_THREAD = 1_000


@pytest.fixture(scope="module")
def filled_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Fill a database once; what is only read can be shared."""
    name = postgres_server.create()
    url = postgres_server.url(name)
    migrate.upgrade(url)
    yield url
    postgres_server.drop(name)


@pytest.fixture(scope="module")
async def filled(filled_url: str) -> AsyncIterator[Database]:
    """Open the database of a million messages."""
    connection = await asyncpg.connect(filled_url)
    try:
        await _fill(connection)
    finally:
        await connection.close()
    database = await open_database(filled_url, max_connections=2)
    yield database
    await database.close()


async def _fill(connection: asyncpg.Connection) -> None:
    # Nothing refers to what is not there: to look each reference up would take as long again, and
    # so would it to keep the indexes as every row comes.
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("SET maintenance_work_mem = '512MB'")
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE tablename = 'messages' AND indexname <> 'pk_messages'"
    )
    for name, _ in indexes:
        await connection.execute(f"DROP INDEX {name}")
    await connection.execute(
        "INSERT INTO users (user_id, created_at)"
        " SELECT 'user_' || n, now() FROM generate_series(0, 99) n"
    )
    await connection.execute(
        "INSERT INTO threads (thread_id, user_id, title, created_at, updated_at)"
        " SELECT 'thread_' || n, CASE WHEN n % 2 = 0 THEN 'user_0' ELSE 'user_' || n % 100 END,"
        f" 'T', now(), now() - n * interval '1 second' FROM generate_series(0, {THREADS - 1}) n"
    )
    long, short = LONG_THREAD, LONG_THREAD + SHORT_THREAD
    for first, last, thread, user, previous in (
        (1, long, "'thread_0'", "'user_0'", "CASE WHEN n > 1 THEN n - 1 END"),
        (long + 1, short, "'thread_1'", "'user_1'", f"CASE WHEN n > {long + 1} THEN n - 1 END"),
        (short + 1, MESSAGES, "'thread_' || 2 + n % 9000", "'user_' || (2 + n % 9000) % 100",
         f"CASE WHEN n > {short + 9000} THEN n - 9000 END"),
    ):  # fmt: skip
        await connection.execute(
            "INSERT INTO messages (message_id, thread_id, user_id, role, status, content,"
            " image_id, parent_id, path_tokens, message_time)"
            f" SELECT n, {thread}, {user}, CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,"
            " 'completed', 'some words and the word w' || n,"
            f" CASE n % 10 WHEN 1 THEN 'file_' || n END, {previous}, n * 10,"
            " now() - n * interval '1 second'"
            f" FROM generate_series({first}, {last}) n"
        )
    for _, definition in indexes:
        await connection.execute(definition)
    await connection.execute(
        "INSERT INTO runs (run_id, thread_id, user_id, message_id, reply_to, status, created_at)"
        " SELECT 'run_' || message_id, thread_id, user_id, message_id, message_id - 1,"
        " 'completed', message_time FROM messages WHERE role = 'assistant' AND message_id <= 200000"
    )
    await connection.execute(
        "INSERT INTO files (file_id, user_id, filename, content_type, size_bytes, width, height,"
        " sha256, created_at) SELECT image_id, user_id, 'a.png', 'image/png', 1, 1, 1, '', now()"
        " FROM messages WHERE image_id IS NOT NULL"
    )
    await connection.execute(
        "INSERT INTO message_files (message_id, position, file_id)"
        " SELECT message_id, 0, image_id FROM messages WHERE image_id IS NOT NULL"
    )
    await connection.execute("VACUUM ANALYZE")


def _queries(user_id: str, thread_id: str, newest: int) -> dict[str, Query]:
    return list_queries(
        newest=newest,
        user_id=user_id,
        thread_id=thread_id,
        moment=utc_now() - timedelta(seconds=100),
    )


def _search(*terms: str) -> Query:
    return lambda tx: messages.search_messages(tx, "user_0", terms=terms, before=None, limit=21)


async def test_every_list_query_uses_its_index(filled: Database) -> None:
    queries = _queries("user_0", "thread_0", LONG_THREAD) | {
        "a common word": _search("some"),
        "a rare word": _search("w77777"),
    }
    costly: dict[str, list[str]] = {}
    for name, query in queries.items():
        async with filled.read() as tx:
            recorder = Recorder(tx)
            await query(recorder)
            if scans := await recorder.scans():
                costly[name] = scans
    assert costly == {}


async def test_a_page_reads_no_more_of_a_long_thread_than_of_a_short_one(filled: Database) -> None:
    long = _queries("user_0", "thread_0", LONG_THREAD)
    short = _queries("user_1", "thread_1", LONG_THREAD + SHORT_THREAD)
    grown: dict[str, tuple[int, int]] = {}
    for name in long:
        counts = [await _blocks(filled, lists[name]) for lists in (long, short)]
        # A level more of an index for each step of a page, and never the thread.
        if counts[0] > counts[1] * 1.2 + 21:
            grown[name] = (counts[0], counts[1])
    assert grown == {}


async def _blocks(database: Database, query: Query) -> int:
    async with database.read() as tx:
        recorder = Recorder(tx)
        await query(recorder)
        return await recorder.blocks()
