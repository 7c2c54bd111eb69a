"""Bringing a database to this program's schema, and telling whether it is there.

Revisions are named by their moment (`20261124_0200`), so the order of their names is the order of
history, and a look at one word tells whether a schema is behind or from a newer program. Alembic
and SQLAlchemy are imported only to change something, for they cost a third of a second and 20 MB:
a new SQLite database, which is what a first start makes, is made from statements that are kept.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from gpt_assistant_api.db.sqlite_file import connect as connect_sqlite
from gpt_assistant_api.db.sqlite_file import sqlite_path
from gpt_assistant_api.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD: Final = "20261126_1100"
SCRIPTS: Final = Path(__file__).parent / "migrations"
SQLITE_SCHEMA: Final = SCRIPTS / "sqlite.sql"
"""What the migrations make of an empty database; `make docs` writes it."""
_LOCK_KEY: Final = 0x6770_7461  # any number that every init-db agrees on
_MIGRATION_SECONDS: Final = 600

State = Literal["empty", "behind", "current", "ahead"]


def head() -> str:
    """Return the revision of this program."""
    return HEAD


def current(url: str) -> str | None:
    """Return the revision of the database, or None where there is none. Creates nothing."""
    if url.startswith("sqlite:"):
        return _current_sqlite(sqlite_path(url))
    return asyncio.run(_current_postgresql(url))


def check_schema(url: str) -> State:
    """Tell how the database's schema stands to this program's."""
    revision = current(url)
    if revision is None:
        return "empty"
    if revision == HEAD:
        return "current"
    return "behind" if revision < HEAD else "ahead"


def prepare_schema(url: str, *, upgrade_first: bool) -> None:
    """Make sure that the schema is this program's. Raises ConfigurationError if it is not."""
    state = check_schema(url)
    if state == "ahead":
        raise ConfigurationError(
            "The schema of the database in DATABASE_URL is newer than this program. Install the"
            " release that made it, or a later one."
        )
    if state != "current" and upgrade_first:
        upgrade(url)
    elif state != "current":
        raise ConfigurationError(
            f"The schema of the database in DATABASE_URL is {state}:"
            " run `gpt-assistant-api init-db`."
        )


def upgrade(url: str) -> None:
    """Bring the database to this program's schema, creating a SQLite file that is not there.

    One transaction: a program that dies here leaves the old schema, and of several programs at
    once one does the work and the others find it done.
    """
    if url.startswith("sqlite:"):
        path = sqlite_path(url)
        if _current_sqlite(path) is None:
            _create_on_sqlite(path)
        else:
            run_migrations_on_sqlite(path)
    else:
        asyncio.run(_upgrade_postgresql(url))


def _current_sqlite(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        connection = connect_sqlite(path)
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return None
        raise _unusable(error) from None
    return str(row[0]) if row else None


def _create_on_sqlite(path: Path) -> None:
    statements = SQLITE_SCHEMA.read_text("utf-8").removesuffix(";\n\n").split(";\n\n")
    try:
        with closing(_connect_patiently(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            made = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            if connection.execute(made).fetchone() is None:  # else somebody was faster
                for statement in statements:
                    connection.execute(statement)
            connection.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise _unusable(error) from None


def _connect_patiently(path: Path) -> sqlite3.Connection:
    connection = connect_sqlite(path, create=True)
    connection.execute(f"PRAGMA busy_timeout = {_MIGRATION_SECONDS * 1000}")
    return connection


def run_migrations_on_sqlite(path: Path) -> None:
    """Bring a SQLite file to this program's schema step by step, from whichever it has or none."""
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415 - see the module

    def open_file() -> sqlite3.Connection:
        connection = _connect_patiently(path)
        # A table that is rebuilt is dropped once, which must not empty the tables that refer to it.
        connection.execute("PRAGMA foreign_keys = OFF")
        return connection

    engine = create_engine("sqlite://", creator=open_file, poolclass=NullPool)
    try:
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _run_migrations(connection)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                raise RuntimeError(f"the migration left {broken[0]} with a dangling reference")
    except (OSError, sqlite3.Error) as error:
        raise _unusable(error) from None


def _unusable(error: Exception) -> ConfigurationError:
    return ConfigurationError(f"The SQLite file in DATABASE_URL cannot be used: {error}.")


async def _current_postgresql(url: str) -> str | None:
    from gpt_assistant_api.db import postgresql  # noqa: PLC0415 - an extra

    connection = await postgresql.connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return revision
    finally:
        await connection.close()


async def _upgrade_postgresql(url: str) -> None:
    from sqlalchemy import NullPool  # noqa: PLC0415 - see the module
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    from gpt_assistant_api.db import postgresql  # noqa: PLC0415 - an extra

    async def open_connection() -> Any:
        return await postgresql.connect(url, command_seconds=_MIGRATION_SECONDS)

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=open_connection, poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
        await connection.run_sync(_run_migrations)


def _run_migrations(connection: "Connection") -> None:
    from alembic import command  # noqa: PLC0415 - see the module
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    command.upgrade(config, "head")
