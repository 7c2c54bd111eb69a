import asyncio

import pytest

from gpt_assistant_api.db import Database, open_database
from gpt_assistant_api.domain.errors import UnavailableError
from tests.db.builders import (
    NOON,
    insert_user,
    users,
)
from tests.fixtures.databases import PostgresServer


async def test_a_connection_that_was_killed_is_not_used_again(
    postgres: Database, postgres_server: PostgresServer
) -> None:
    async def lose_the_connection() -> None:
        async with postgres.write() as tx:
            row = await tx.fetch_one("SELECT pg_backend_pid() AS pid")
            assert row is not None
            await asyncio.to_thread(
                postgres_server.execute, f"SELECT pg_terminate_backend({row['pid']})"
            )
            await insert_user(tx, "ada")

    with pytest.raises(UnavailableError) as refusal:
        await lose_the_connection()
    assert refusal.value.code == "database_unavailable"
    for _ in range(5):
        await postgres.check()
    assert await users(postgres) == []


async def test_a_deadlock_is_unavailable_and_worth_another_try(postgres: Database) -> None:
    async with postgres.write() as tx:
        await insert_user(tx, "ada")
        await insert_user(tx, "bob")
    barrier = asyncio.Barrier(2)

    async def cross(first: str, second: str) -> None:
        async with postgres.write() as tx:
            for user_id in (first, second):
                await tx.execute(
                    "UPDATE users SET created_at = :at WHERE user_id = :u", at=NOON, u=user_id
                )
                if user_id == first:
                    await barrier.wait()

    results = await asyncio.gather(cross("ada", "bob"), cross("bob", "ada"), return_exceptions=True)
    [failure] = [result for result in results if result is not None]
    assert isinstance(failure, UnavailableError)
    assert failure.retry_after_seconds == 1


async def test_a_pool_that_stays_empty_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, postgres: Database
) -> None:
    async with postgres.read(), postgres.read():
        # Not before: to connect may take its time.
        with monkeypatch.context() as patch:
            patch.setattr("gpt_assistant_api.db.postgresql.CONNECT_SECONDS", 0.05)
            with pytest.raises(UnavailableError):
                await users(postgres)
    assert await users(postgres) == []


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(UnavailableError):
        await open_database("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize("setting", ["pgbouncer=true", "statement_cache_size=0"])
async def test_a_pooler_in_between_is_told_by_the_url(
    postgres_server: PostgresServer, migrated_postgres: str, setting: str
) -> None:
    database = await open_database(f"{postgres_server.url(migrated_postgres)}&{setting}")
    assert await users(database) == []
    async with database.read() as tx:
        assert await tx.fetch_all("SELECT name FROM pg_prepared_statements") == []
    await database.close()
