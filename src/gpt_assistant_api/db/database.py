"""What a database is to the rest of the program, and how one is opened.

A query is text with `:name` parameters that runs on both databases. What its writer needs to know:

- A list or tuple expands: `IN :ids` takes any number of values, none included.
- Moments go in and come out as aware datetimes. SQLite knows one by the column's declared type,
  under an alias and in RETURNING too, but not after an expression: `MAX(created_at)` is text there.
- PostgreSQL takes a parameter's type from its place. Where the place tells nothing, say it:
  `CAST(:before AS BIGINT) IS NULL`. Every occurrence of a name is typed on its own.
- After a statement that failed, the transaction is lost: whatever its block does next, it rolls
  back. To go on after a duplicate, say ON CONFLICT.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NamedTuple, Protocol

from gpt_assistant_api.db.migrate import prepare_schema
from gpt_assistant_api.domain.errors import ConfigurationError, UnavailableError

Dialect = Literal["sqlite", "postgresql"]

CHECK_SECONDS = 4.0
"""How long `Database.check` may take; a health probe wants its answer within 5 seconds."""


class Conflict(Exception):
    """A unique or foreign key does not allow this write."""


class PoolUse(NamedTuple):
    """How busy the connections of one kind are; `waiting` counts transactions."""

    in_use: int
    most: int
    waiting: int


class Tx(Protocol):
    """One transaction. Its statements run in the order in which they were awaited."""

    @property
    def dialect(self) -> Dialect:
        """Which database this is, for the few queries that must differ."""
        ...

    async def fetch_one(self, sql: str, **params: Any) -> dict[str, Any] | None:
        """Return the first row by column name."""
        ...

    async def fetch_all(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        """Return every row by column name."""
        ...

    async def execute(self, sql: str, **params: Any) -> int:
        """Return how many rows were changed. Raises Conflict."""
        ...


class Database(Protocol):
    """An open database. Any method raises UnavailableError when it does not answer."""

    @property
    def dialect(self) -> Dialect:
        """Which database this is."""
        ...

    def read(self) -> AbstractAsyncContextManager[Tx]:
        """Look at one consistent snapshot; a statement that writes is refused."""
        ...

    def write(self) -> AbstractAsyncContextManager[Tx]:
        """Change things in one transaction, durable when the block is left, undone if it raises.

        On SQLite one block runs at a time, so a block waits for nothing but its own statements, and
        its INSERT and UPDATE run on the event loop, so each of them changes a few rows only; what
        indexes messages for search does not.
        """
        ...

    async def check(self) -> None:
        """Raise UnavailableError unless the database can be read and written now."""
        ...

    def pools(self) -> Mapping[str, PoolUse]:
        """Tell how busy the connections are now, by kind."""
        ...

    async def close(self) -> None:
        """Close the connections; blocks that are still open fail."""
        ...


async def open_database(
    url: str, *, migrate: bool | None = None, max_connections: int = 20
) -> Database:
    """Open the database at `url` and make sure that its schema is this program's.

    `migrate` None creates and upgrades a SQLite file, and leaves PostgreSQL to `init-db`. Raises
    ConfigurationError for a URL that cannot be used and a schema that is behind or newer.
    """
    if not url.startswith(("sqlite:", "postgresql:", "postgres:")):
        raise ConfigurationError("DATABASE_URL must begin with sqlite:/// or postgresql://.")
    is_sqlite = url.startswith("sqlite:")
    await asyncio.to_thread(
        prepare_schema, url, upgrade_first=is_sqlite if migrate is None else migrate
    )
    if is_sqlite:
        from gpt_assistant_api.db.sqlite import (  # noqa: PLC0415 - which needs the types above
            SqliteDatabase,
        )

        return await SqliteDatabase.open(url)
    from gpt_assistant_api.db.postgresql import PostgresDatabase  # noqa: PLC0415 - an extra

    return await PostgresDatabase.open(url, max_connections=max_connections)


async def check_within_time(database: Database, statement: str) -> None:
    """Read and write by a statement that changes nothing, as `Database.check`."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            async with database.read() as tx:
                await tx.fetch_one("SELECT version_num FROM alembic_version")
            async with database.write() as tx:
                await tx.execute(statement)
    except TimeoutError:
        raise UnavailableError(
            "The database does not answer.", code="database_unavailable"
        ) from None
