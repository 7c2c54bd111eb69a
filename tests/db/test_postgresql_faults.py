"""A server that restarts, fails over or falls silent: refused in bounded time, then well again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from gpt_assistant_api.db import Database
from gpt_assistant_api.db.postgresql import PostgresDatabase
from gpt_assistant_api.domain.errors import UnavailableError
from tests.faults import FaultyLink, started
from tests.fixtures.postgresql_nodes import PostgresNode


async def write(database: Database) -> Any:
    async with database.write() as tx:
        await tx.execute("INSERT INTO written VALUES (now())")
        return await tx.fetch_one("SELECT 1 AS one")


async def read(database: Database) -> Any:
    async with database.read() as tx:
        return await tx.fetch_one("SELECT pg_sleep(0.01), 1 AS one")


async def fill_the_pool(database: Database) -> None:
    await asyncio.gather(*(read(database) for _ in range(20)))


async def opened(url: str) -> AsyncIterator[PostgresDatabase]:
    database = await PostgresDatabase.open(url, max_connections=8)
    yield database
    await database.close()


def make_table(node: PostgresNode) -> None:
    node.execute("CREATE TABLE IF NOT EXISTS written (at TIMESTAMPTZ)")


@pytest.fixture
async def database(hosted_postgres: PostgresNode) -> AsyncIterator[PostgresDatabase]:
    """Open a server that may be restarted."""
    await asyncio.to_thread(make_table, hosted_postgres)
    async for database in opened(hosted_postgres.url()):
        yield database


@pytest.fixture
def link(hosted_postgres: PostgresNode) -> Iterator[FaultyLink]:
    """Stand before the server."""
    make_table(hosted_postgres)
    with started(FaultyLink(hosted_postgres.port)) as link:
        yield link


@pytest.fixture
def nodes(postgres_binaries: Path) -> Iterator[tuple[PostgresNode, PostgresNode]]:
    """Run a server that takes writes, and one that will when it is promoted."""
    with (
        TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as first,
        TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as second,
    ):
        primary = PostgresNode(postgres_binaries, Path(first))
        primary.create()
        primary.start()
        make_table(primary)
        primary.stop()
        standby = primary.copy(Path(second))
        primary.start()
        standby.start()
        yield primary, standby
        primary.stop()
        standby.stop()


async def test_connections_that_were_ended_while_idle_are_not_noticed_by_anybody(
    hosted_postgres: PostgresNode, database: PostgresDatabase
) -> None:
    await fill_the_pool(database)
    await asyncio.to_thread(
        hosted_postgres.execute,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'",
    )
    assert len(await asyncio.gather(*(write(database) for _ in range(20)))) == 20


async def test_a_restarted_server_is_used_again_at_once(
    hosted_postgres: PostgresNode, database: PostgresDatabase
) -> None:
    await fill_the_pool(database)
    await asyncio.to_thread(hosted_postgres.stop)
    for attempt in (read, write):
        with pytest.raises(UnavailableError) as refusal:
            await attempt(database)
        assert refusal.value.code == "database_unavailable"
    await asyncio.to_thread(hosted_postgres.start)
    assert len(await asyncio.gather(*(write(database) for _ in range(20)))) == 20


async def test_writes_follow_a_failover_to_another_host(
    nodes: tuple[PostgresNode, PostgresNode],
) -> None:
    primary, standby = nodes
    login, _, where = primary.url().partition("@")
    hosts = f"localhost:{standby.port},localhost:{primary.port}"
    url = f"{login}@{hosts}/{where.partition('/')[2]}"
    async for database in opened(url):
        await write(database)
        await asyncio.to_thread(primary.stop)
        with pytest.raises(UnavailableError):
            await write(database)
        await asyncio.to_thread(standby.promote)
        assert len(await asyncio.gather(*(write(database) for _ in range(20)))) == 20


async def test_a_server_that_became_a_standby_takes_no_writes_for_now(
    nodes: tuple[PostgresNode, PostgresNode],
) -> None:
    _, standby = nodes
    async for database in opened(standby.url()):
        await read(database)
        with pytest.raises(UnavailableError) as refusal:
            await write(database)
        assert refusal.value.code == "database_unavailable"
        await asyncio.to_thread(standby.promote)
        await write(database)


async def test_a_server_that_falls_silent_is_given_up_and_its_connections_with_it(
    hosted_postgres: PostgresNode, link: FaultyLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for database in opened(hosted_postgres.url(port=link.port)):
        await fill_the_pool(database)
        await asyncio.to_thread(link.become, "silent", cut=False)
        with monkeypatch.context() as patch:
            for name in ("BEGIN_SECONDS", "CLEANUP_SECONDS", "CONNECT_SECONDS"):
                patch.setattr(f"gpt_assistant_api.db.postgresql.{name}", 0.2)
            results = await asyncio.gather(
                *(write(database) for _ in range(20)), return_exceptions=True
            )
        assert {type(result) for result in results} == {UnavailableError}
        await asyncio.to_thread(link.become, "open", cut=False)
        assert len(await asyncio.gather(*(write(database) for _ in range(8)))) == 8


async def test_a_lock_that_is_held_elsewhere_is_not_waited_for_forever(
    database: PostgresDatabase,
) -> None:

    async def write_soon() -> None:
        async with database.write() as tx:
            await tx.execute("SET LOCAL lock_timeout = '50ms'")
            await tx.execute("INSERT INTO written VALUES (now())")

    async with database.write() as holder:
        await holder.execute("LOCK TABLE written")
        with pytest.raises(UnavailableError) as refusal:
            await write_soon()
    assert refusal.value.retry_after_seconds == 1
    async with database.read() as tx:
        for name, limit in (
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "1min"),
        ):
            assert await tx.fetch_one(f"SHOW {name}") == {name: limit}
