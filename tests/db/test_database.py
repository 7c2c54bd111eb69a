import asyncio
import sqlite3
from datetime import timedelta, timezone

import asyncpg
import pytest

from gpt_assistant_api.db import Conflict, Database, open_database
from gpt_assistant_api.domain.errors import UnavailableError
from tests.db.builders import (
    NOON,
    Blocked,
    insert_alone,
    insert_message,
    insert_thread,
    insert_user,
    users,
    users_in,
)


async def test_rows_come_back_by_name_and_writes_tell_how_many_they_changed(
    database: Database,
) -> None:
    async with database.write() as tx:
        assert tx.dialect == database.dialect
        await insert_user(tx, "ada")
        await insert_user(tx, "bob")
        assert await tx.execute("UPDATE users SET created_at = :at", at=NOON) == 2
        assert await tx.execute("DELETE FROM users WHERE user_id = :u", u="nobody") == 0
    async with database.read() as tx:
        assert await tx.fetch_one(
            "SELECT user_id AS name FROM users WHERE user_id = :u", u="ada"
        ) == {"name": "ada"}
        assert await tx.fetch_one("SELECT user_id FROM users WHERE user_id = :u", u="eve") is None
        assert await tx.fetch_all("SELECT user_id FROM users WHERE user_id = :u", u="eve") == []


async def test_a_list_is_expanded_and_an_empty_one_matches_nothing(database: Database) -> None:
    async with database.write() as tx:
        for user_id in ("ada", "bob", "eve"):
            await insert_user(tx, user_id)
    query = "SELECT user_id FROM users WHERE user_id IN :ids ORDER BY user_id"
    async with database.read() as tx:
        found = await tx.fetch_all(query, ids=["eve", "ada", "zoe"])
        assert [row["user_id"] for row in found] == ["ada", "eve"]
        assert await tx.fetch_all(query, ids=()) == []


async def test_moments_keep_their_microseconds_and_come_back_in_utc(database: Database) -> None:
    tokyo = timezone(timedelta(hours=9))
    moments = [
        NOON,
        NOON + timedelta(microseconds=1),
        (NOON + timedelta(seconds=1)).astimezone(tokyo),
        NOON + timedelta(seconds=1, microseconds=500_000),
    ]
    async with database.write() as tx:
        for number, moment in enumerate(moments):
            await insert_user(tx, f"user-{number}", moment)
        returned = await tx.fetch_one(
            "UPDATE users SET created_at = :at WHERE user_id = :u RETURNING created_at",
            at=moments[0],
            u="user-0",
        )
        assert returned == {"created_at": NOON}
    async with database.read() as tx:
        rows = await tx.fetch_all("SELECT u.created_at AS since FROM users u ORDER BY u.created_at")
        assert [row["since"] for row in rows] == moments
        assert {row["since"].utcoffset() for row in rows} == {timedelta()}
        later = await tx.fetch_all(
            "WITH late AS (SELECT user_id, created_at AS since FROM users WHERE created_at > :at)"
            " SELECT since FROM late ORDER BY since",
            at=moments[1].astimezone(tokyo),
        )
        assert [row["since"] for row in later] == moments[2:]


@pytest.mark.parametrize(
    "text", ["", "Grüße 👩‍👩‍👧‍👦 日本 \u202e", "'; DROP TABLE users; --", "a\r\n\tb", ":x ?"]
)
async def test_text_comes_back_as_it_was(database: Database, text: str) -> None:
    async with database.write() as tx:
        await insert_user(tx, text)
    assert await users(database) == [text]


async def test_a_name_without_a_value_is_a_mistake(database: Database) -> None:
    with pytest.raises(KeyError):
        async with database.read() as tx:
            await tx.fetch_all("SELECT :missing")


async def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    async def change_my_mind() -> None:
        async with database.write() as tx:
            await insert_user(tx, "ada")
            raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await change_my_mind()
    assert await users(database) == []


async def test_what_a_block_wrote_is_seen_by_itself_and_by_others_only_afterwards(
    database: Database,
) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
        assert await tx.fetch_one("SELECT user_id FROM users") == {"user_id": "ada"}
        assert await users(database) == []
    assert await users(database) == ["ada"]


async def test_a_read_keeps_its_snapshot_while_others_write(database: Database) -> None:
    async with database.read() as tx:
        assert await tx.fetch_all("SELECT user_id FROM users") == []
        async with database.write() as other:
            await insert_user(other, "ada")
        assert await tx.fetch_all("SELECT user_id FROM users") == []
    assert await users(database) == ["ada"]


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(UnavailableError):
        async with database.read() as tx:
            await insert_user(tx, "ada")
    assert await users(database) == []


async def test_a_transaction_that_is_over_takes_no_more_statements(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
    with pytest.raises(RuntimeError, match="over"):
        await insert_user(tx, "bob")


async def test_a_duplicate_and_a_dangling_reference_are_conflicts(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
    with pytest.raises(Conflict):
        async with database.write() as tx:
            await insert_user(tx, "ada")
    with pytest.raises(Conflict):
        async with database.write() as tx:
            await insert_thread(tx, "t", "nobody")
    async with database.write() as tx:
        await insert_thread(tx, "t", "ada")


async def test_a_value_that_is_not_allowed_is_a_mistake_and_no_conflict(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")
    for wrong in ({"role": "system"}, {"status": "sleeping"}, {"content": None}):
        with pytest.raises((sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)):
            async with database.write() as tx:
                await insert_message(tx, "t", "ada", **wrong)


async def test_after_a_failed_statement_the_block_cannot_succeed(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")

    async def go_on() -> None:
        async with database.write() as tx:
            await insert_user(tx, "bob")
            with pytest.raises(Conflict):
                await insert_user(tx, "ada")
            with pytest.raises(Conflict):
                await users_in(tx)

    with pytest.raises(Conflict):
        await go_on()
    assert await users(database) == ["ada"]


async def test_writers_at_once_lose_nothing(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")

    async def add_one() -> None:
        async with database.write() as tx:
            await tx.execute("UPDATE threads SET head_id = COALESCE(head_id, 0) + 1")

    await asyncio.gather(*(add_one() for _ in range(100)))
    async with database.read() as tx:
        assert await tx.fetch_one("SELECT head_id FROM threads") == {"head_id": 100}


async def test_a_failed_neighbour_takes_nobody_with_it(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.write() as tx:
            await insert_user(tx, f"user-{number:02}")
            if number % 3 == 0:
                raise LookupError(number)
            if number % 3 == 1:
                await insert_user(tx, f"user-{number:02}")

    results = await asyncio.gather(*(write(n) for n in range(60)), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError, Conflict, type(None)] * 20
    assert await users(database) == [f"user-{n:02}" for n in range(2, 60, 3)]


async def test_a_cancelled_block_leaves_nothing_and_the_others_go_on(database: Database) -> None:
    first = Blocked(database, "cancelled")
    await first.inside.wait()
    others = [asyncio.create_task(insert_alone(database, f"user-{n}")) for n in range(5)]
    await asyncio.sleep(0)
    others[1].cancel()
    first.task.cancel()
    await asyncio.wait([first.task, *others])
    assert first.task.cancelled()
    assert others[1].cancelled()
    assert await users(database) == ["user-0", "user-2", "user-3", "user-4"]


async def test_blocks_cancelled_at_any_moment_are_whole_or_absent(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.write() as tx:
            await insert_user(tx, f"a-{number}")
            await tx.fetch_all("SELECT user_id FROM users")
            await tx.execute("DELETE FROM users WHERE user_id = 'nobody'")
            await insert_user(tx, f"b-{number}")

    async def look() -> None:
        async with database.read() as tx:
            await tx.fetch_all("SELECT user_id FROM users")

    for patience in range(12):
        tasks = [asyncio.create_task(write(100 * patience + n)) for n in range(8)]
        tasks += [asyncio.create_task(look()) for _ in range(8)]
        for _ in range(patience):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        assert not any(task.exception() for task in tasks if not task.cancelled())
        names = await users(database)
        assert [n[2:] for n in names if n[0] == "a"] == [n[2:] for n in names if n[0] == "b"]
        kept = {f"a-{100 * patience + n}" for n in range(1, 8, 2)}
        assert kept <= set(names)
    await database.check()


async def test_many_readers_wait_for_each_other_and_all_get_through(database: Database) -> None:
    assert await asyncio.gather(*(users(database) for _ in range(60))) == [[]] * 60


async def test_a_healthy_database_passes_its_check_many_times_at_once(database: Database) -> None:
    await asyncio.gather(*(database.check() for _ in range(5)))


async def test_a_closed_database_says_so(database_url: str) -> None:
    database = await open_database(database_url)
    await insert_alone(database, "ada")
    await database.close()
    with pytest.raises(UnavailableError):
        await database.check()
    with pytest.raises(UnavailableError):
        await insert_alone(database, "bob")
    again = await open_database(database_url)
    assert await users(again) == ["ada"]
    await again.close()
