import asyncio
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gpt_assistant_api.db import Database, open_database
from gpt_assistant_api.db.sqlite_connections import MAX_GROUP
from gpt_assistant_api.domain.errors import UnavailableError
from tests.db.builders import (
    NOON,
    Blocked,
    count,
    insert_alone,
    insert_message,
    insert_thread,
    insert_user,
    users,
    users_in,
)


def trace(monkeypatch: pytest.MonkeyPatch, statements: list[str]) -> None:
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)


async def test_a_writer_is_released_only_after_the_commit_that_many_share(
    monkeypatch: pytest.MonkeyPatch, sqlite_file: Path
) -> None:
    log: list[str] = []
    trace(monkeypatch, log)
    database = await open_database(f"sqlite:///{sqlite_file}")
    log.clear()

    async def write(number: int) -> None:
        await insert_alone(database, f"user-{number}")
        log.append("released")

    await asyncio.gather(*(write(number) for number in range(MAX_GROUP // 2)))
    await database.close()
    kinds = [entry.split()[0] for entry in log]
    assert kinds.count("INSERT") == kinds.count("released") == MAX_GROUP // 2
    assert 1 <= kinds.count("COMMIT") < MAX_GROUP // 4
    uncommitted = released = 0
    for kind in kinds:
        if kind == "COMMIT":
            uncommitted, released = 0, released + uncommitted
        uncommitted += kind == "INSERT"
        released -= kind == "released"
        assert released >= 0


async def test_what_was_acknowledged_is_there_for_another_program_at_once(
    sqlite: Database, sqlite_file: Path
) -> None:
    await insert_alone(sqlite, "ada")
    connection = sqlite3.connect(sqlite_file)
    assert connection.execute("SELECT user_id FROM users").fetchall() == [("ada",)]
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    connection.close()


async def test_another_program_that_writes_is_waited_for(
    sqlite: Database, sqlite_file: Path
) -> None:
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.create_task(insert_alone(sqlite, "ada"))
    assert await users(sqlite) == []
    other.execute("COMMIT")
    other.close()
    await write
    assert await users(sqlite) == ["ada"]


async def test_a_lock_that_stays_is_unavailable_and_then_all_is_well(
    monkeypatch: pytest.MonkeyPatch, sqlite: Database, sqlite_file: Path
) -> None:
    monkeypatch.setattr("gpt_assistant_api.db.sqlite_connections.BUSY_SECONDS", 0.05)
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError) as refusal:
        await insert_alone(sqlite, "ada")
    assert refusal.value.code == "database_unavailable"
    assert refusal.value.retry_after_seconds > 0
    with pytest.raises(UnavailableError):
        await sqlite.check()
    other.execute("COMMIT")
    other.close()
    await insert_alone(sqlite, "bob")
    assert await users(sqlite) == ["bob"]


async def test_a_full_disk_fails_the_whole_group_and_later_writes_succeed(
    sqlite: Database,
) -> None:
    async with sqlite.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")
        row = await tx.fetch_one("SELECT page_count FROM pragma_page_count")
        assert row is not None
    await limit_pages(sqlite, row["page_count"] + 8)

    async def fill() -> None:
        async with sqlite.write() as tx:
            await insert_message(tx, "t", "ada", status="in_progress", content="x" * 200_000)

    results = await asyncio.gather(
        insert_alone(sqlite, "bob"), fill(), insert_alone(sqlite, "eve"), return_exceptions=True
    )
    assert isinstance(results[1], UnavailableError)
    assert results[1].message == "The disk of the database is full."
    stored = await users(sqlite)
    for name, result in (("bob", results[0]), ("eve", results[2])):
        assert (name in stored) == (result is None)
        assert result is None or isinstance(result, UnavailableError)
    await limit_pages(sqlite, 1_000_000)
    await fill()
    assert await count(sqlite, "messages") == 1


async def limit_pages(database: Database, pages: int) -> None:
    async with database.write() as tx:
        await tx.fetch_all(f"PRAGMA max_page_count = {pages}")


def move(source: Path, target: Path) -> None:
    source.rename(target)


def is_there(path: Path) -> bool:
    return path.exists()


async def test_a_file_that_is_gone_takes_no_more_writes_and_is_not_made_anew(
    sqlite: Database, sqlite_file: Path, tmp_path: Path
) -> None:
    await insert_alone(sqlite, "ada")
    move(sqlite_file, tmp_path / "elsewhere.db")
    with pytest.raises(UnavailableError):
        await insert_alone(sqlite, "bob")
    assert await users(sqlite) == ["ada"]
    assert not is_there(sqlite_file)
    move(tmp_path / "elsewhere.db", sqlite_file)
    await insert_alone(sqlite, "eve")
    assert await users(sqlite) == ["ada", "eve"]


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_a_long_look_leaves_the_event_loop_free(sqlite: Database, kind: str) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    async with getattr(sqlite, kind)() as tx:
        row = await tx.fetch_one(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
            " SELECT SUM(i) AS total FROM n"
        )
        assert await users_in(tx) == []
    counting.cancel()
    assert row == {"total": 45_000_150_000}
    assert turns > 1
    await insert_alone(sqlite, "ada")
    assert await users(sqlite) == ["ada"]


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_whoever_stops_waiting_for_a_long_look_is_in_nobodys_way(
    sqlite: Database, kind: str
) -> None:
    async def look() -> None:
        async with getattr(sqlite, kind)() as tx:
            if kind == "write":
                await insert_user(tx, "nobody")
            await tx.fetch_one(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
                " SELECT SUM(i) AS total FROM n"
            )

    looking = [asyncio.create_task(look()) for _ in range(6)]
    await asyncio.sleep(0)
    for task in looking:
        task.cancel()
    await asyncio.wait(looking)
    await asyncio.gather(*(insert_alone(sqlite, f"user-{n}") for n in range(10)))
    assert await users(sqlite) == [f"user-{n}" for n in range(10)]


async def test_a_statement_that_nobody_awaited_undoes_its_block(sqlite: Database) -> None:
    deleting: list[asyncio.Task[int]] = []

    async def forget() -> None:
        async with sqlite.write() as tx:
            await insert_user(tx, "ada")
            deleting.append(asyncio.create_task(tx.execute("DELETE FROM threads")))
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="not awaited"):
        await forget()
    await asyncio.wait(deleting)
    assert await users(sqlite) == []


async def test_closing_undoes_a_block_that_is_open_and_refuses_those_who_wait(
    new_sqlite_url: str,
) -> None:
    database = await open_database(new_sqlite_url)
    await insert_alone(database, "ada")
    blocked = Blocked(database, "bob")
    await blocked.inside.wait()
    waiting = asyncio.create_task(insert_alone(database, "eve"))
    await asyncio.sleep(0)
    await database.close()
    blocked.go_on.set()
    for task in (blocked.task, waiting):
        with pytest.raises(UnavailableError, match="closed"):
            await task
    again = await open_database(new_sqlite_url)
    assert await users(again) == ["ada"]
    await again.close()


async def test_a_moment_may_be_null_but_not_without_a_time_zone_on_sqlite(sqlite: Database) -> None:
    async with sqlite.write() as tx:
        await tx.execute(
            "INSERT INTO api_keys (key_id, name, hash, prefix, created_at, revoked_at)"
            " VALUES ('k', 'n', 'h', 'p', :at, :never)",
            at=NOON,
            never=None,
        )
    with pytest.raises((ValueError, sqlite3.Error)):
        async with sqlite.write() as tx:
            await insert_user(tx, "naive", datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point
    async with sqlite.read() as tx:
        assert await tx.fetch_one("SELECT created_at, revoked_at FROM api_keys") == {
            "created_at": NOON,
            "revoked_at": None,
        }
