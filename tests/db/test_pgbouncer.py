"""Behind a pooler a session is nobody's: two transactions of one client may run on two servers."""

import asyncio

from gpt_assistant_api.db import idempotency, open_database
from gpt_assistant_api.db.migrate import check_schema, upgrade
from tests.db.builders import insert_alone, insert_user, users


async def test_a_pooler_is_noticed_and_nothing_is_kept_prepared(pgbouncer_url: str) -> None:
    database = await open_database(pgbouncer_url)
    try:
        await asyncio.gather(*(insert_alone(database, f"user-{n:02}") for n in range(40)))
        found = await asyncio.gather(*(users(database) for _ in range(40)))
        assert found == [[f"user-{n:02}" for n in range(40)]] * 40
        async with database.read() as tx:
            assert await tx.fetch_all("SELECT name FROM pg_prepared_statements") == []
        await database.check()
    finally:
        await database.close()


async def test_locks_and_limits_end_with_their_transaction(pgbouncer_url: str) -> None:
    database = await open_database(pgbouncer_url)
    try:
        counted = 0

        async def count_alone(number: int) -> None:
            nonlocal counted
            async with database.write() as tx:
                await idempotency.lock_key(tx, "ada", "key")
                counted += 1
                assert counted == 1
                await insert_user(tx, f"user-{number}")
                counted -= 1

        await asyncio.gather(*(count_alone(number) for number in range(12)))
        async with database.read() as tx:
            held = await tx.fetch_one(
                "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'"
            )
            assert held == {"n": 0}
            assert await tx.fetch_one("SHOW lock_timeout") == {"lock_timeout": "10s"}
    finally:
        await database.close()


async def test_the_schema_is_made_through_the_pooler(pgbouncer_url: str) -> None:
    await asyncio.to_thread(upgrade, pgbouncer_url)
    assert await asyncio.to_thread(check_schema, pgbouncer_url) == "current"
