"""How a database means to run a query, in a database with enough rows to care."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gpt_assistant_api.db import Database, Tx, files, messages, runs, threads
from gpt_assistant_api.db.parameters import bind
from tests.db.builders import NOON

Query = Callable[[Any], Awaitable[Any]]

MESSAGES = 3_000
"""The messages 1..3000 of `thread_0` are one branch, and every second one has a run that ended."""

_TABLES = {
    *("messages", "m", "threads", "t", "runs", "r", "files", "message_files"),
    *("daily_usage", "daily_key_usage"),
}
_SORTED = (
    *("WITH RECURSIVE", "status IN ('queued', 'in_progress')", " IN (SELECT", "IN :"),
    "day BETWEEN :first AND :last",
)
"""What bounds a result by other means than an index in the order that is wanted: sort it freely."""

_NUMBERS = (
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"
)


def list_queries(
    *,
    newest: int = MESSAGES,
    user_id: str = "ada",
    thread_id: str = "thread_0",
    moment: datetime = NOON,
) -> dict[str, Query]:
    """Return every query that gives a list, on a thread whose messages are 1..newest."""
    middle = newest * 2 // 3
    return {
        "threads": lambda tx: threads.fetch_threads(tx, user_id, before=None, limit=21),
        "later threads": lambda tx: threads.fetch_threads(
            tx, user_id, before=(moment, "thread_5"), limit=21
        ),
        "a branch": lambda tx: messages.fetch_branch(tx, thread_id, newest_id=newest, limit=21),
        "history": lambda tx: messages.fetch_history(tx, newest, cut_before=newest * 10 - 200),
        "the last question": lambda tx: messages.fetch_last_question(tx, thread_id, head_id=newest),
        "the end of a branch": lambda tx: messages.fetch_branch_end(tx, thread_id, newest - 5),
        "all messages": lambda tx: messages.fetch_all_messages(
            tx, thread_id, before=None, limit=21
        ),
        "messages before": lambda tx: messages.fetch_all_messages(
            tx, thread_id, before=middle, limit=21
        ),
        "messages with files": lambda tx: messages.fetch_all_messages(
            tx, thread_id, before=middle, limit=21, with_files=True
        ),
        "messages after": lambda tx: messages.fetch_messages_after(
            tx, thread_id, after=middle, limit=21
        ),
        "unfinished runs": lambda tx: runs.fetch_unfinished(tx, created_before=moment, limit=10),
        "runs of a user": lambda tx: runs.fetch_runs_of_user(tx, user_id, after=None, limit=20),
        "later runs": lambda tx: runs.fetch_runs_of_user(
            tx, user_id, after=(moment - timedelta(1), "run_5"), limit=20
        ),
        "files of a user": lambda tx: files.fetch_files_of_user(
            tx, user_id, after="file_1", limit=20
        ),
        "files of messages": lambda tx: files.fetch_files_of(tx, [1, 11, 21]),
    }


class Recorder:
    """A transaction that remembers its statements."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.dialect = tx.dialect
        self.statements: list[tuple[str, dict[str, Any]]] = []

    async def fetch_one(self, sql: str, **params: Any) -> dict[str, Any] | None:
        self.statements.append((sql, params))
        return await self._tx.fetch_one(sql, **params)

    async def fetch_all(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        self.statements.append((sql, params))
        return await self._tx.fetch_all(sql, **params)

    async def execute(self, sql: str, **params: Any) -> int:
        self.statements.append((sql, params))
        return await self._tx.execute(sql, **params)

    async def scans(self) -> list[str]:
        """Return the steps that read a whole table or sort what an index should have sorted."""
        explain = "EXPLAIN" if self.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        found = []
        for sql, params in self.statements:
            rows = await self._tx.fetch_all(f"{explain} {sql}", **params)
            steps = [str(row.get("detail") or row.get("QUERY PLAN")) for row in rows]
            found += [step.strip() for step in steps if _is_costly(step, sql)]
        return found

    async def blocks(self) -> int:
        """Return how many blocks of PostgreSQL's cache the statements read."""
        read = 0
        for sql, params in self.statements:
            [row] = await self._tx.fetch_all(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", **params
            )
            plan = json.loads(row["QUERY PLAN"])[0]["Plan"]
            read += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return read


def steps(file: Path, sql: str, params: dict[str, Any]) -> int:
    """Return how many steps SQLite's machine takes for a statement."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with closing(sqlite3.connect(file)) as connection:
        connection.set_progress_handler(count, 1)
        text, arguments = bind("sqlite", sql, params)
        connection.execute(text, arguments).fetchall()
    return taken


async def forbid_scans(tx: Tx) -> None:
    """Have PostgreSQL use an index wherever it can, though few rows fit one page."""
    if tx.dialect == "postgresql":
        await tx.execute("SET LOCAL enable_seqscan = off")


def _is_costly(step: str, sql: str) -> bool:
    step = step.strip().removeprefix("->").strip()
    if step.endswith("TEMP B-TREE FOR ORDER BY") or step.startswith("Sort  ("):
        return not any(bounded in sql for bounded in _SORTED)
    # A scan of a common table expression is one of the page.
    scanned = step.split()[1] if step.startswith("SCAN ") else ""
    if "Seq Scan on workers " in step:  # there are as many as processes
        return False
    return "Seq Scan on " in step or (scanned in _TABLES and "ix_runs_unfinished" not in step)


async def fill(database: Database) -> None:
    """Give ada a long thread, many threads, many files and many ended runs."""
    async with database.write() as tx:
        await tx.execute("INSERT INTO users (user_id, created_at) VALUES ('ada', :at)", at=NOON)
        await tx.execute(
            "INSERT INTO threads (thread_id, user_id, title, head_id, created_at, updated_at)"
            f" {_NUMBERS} SELECT 'thread_' || (n - 1), 'ada', 'T', :count, {_moment(tx)},"
            f" {_moment(tx)} FROM numbers",
            count=MESSAGES,
            at=NOON,
        )
        await tx.execute(
            "INSERT INTO messages (message_id, thread_id, user_id, role, status, content, image_id,"
            f" parent_id, path_tokens, message_time) {_NUMBERS} SELECT n, 'thread_0', 'ada',"
            " CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'completed', 'word ' || n,"
            " CASE n % 10 WHEN 1 THEN 'file_' || n END, CASE WHEN n > 1 THEN n - 1 END, n * 10,"
            f" {_moment(tx)} FROM numbers",
            count=MESSAGES,
            at=NOON,
        )
        await tx.execute(
            "INSERT INTO runs (run_id, thread_id, user_id, message_id, reply_to, status,"
            f" total_tokens, created_at) {_NUMBERS} SELECT 'run_' || n, 'thread_0', 'ada', n,"
            f" n - 1, 'completed', 7, {_moment_of_n(tx)} FROM numbers WHERE n % 2 = 0",
            count=MESSAGES,
            at=NOON,
        )
        await tx.execute(
            "INSERT INTO files (file_id, user_id, filename, content_type, size_bytes, width,"
            f" height, sha256, created_at) {_NUMBERS} SELECT 'file_' || n, 'ada', 'a.png',"
            f" 'image/png', 1, 1, 1, '', {_moment(tx)} FROM numbers",
            count=MESSAGES,
            at=NOON,
        )
        await tx.execute(
            "INSERT INTO message_files (message_id, position, file_id)"
            " SELECT message_id, 0, image_id FROM messages WHERE image_id IS NOT NULL"
        )
    async with database.write() as tx:
        await tx.execute("ANALYZE")


def _moment(tx: Tx) -> str:
    return "CAST(:at AS TIMESTAMPTZ)" if tx.dialect == "postgresql" else ":at"


def _moment_of_n(tx: Tx) -> str:
    if tx.dialect == "postgresql":
        return "CAST(:at AS TIMESTAMPTZ) - n * interval '1 second'"
    return "strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', :at, -n || ' seconds')"
