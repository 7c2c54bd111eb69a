import asyncio
import multiprocessing
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from gpt_assistant_api.db import Database, lock_for_server, migrate, open_database
from gpt_assistant_api.db.sqlite_file import connect as connect_sqlite
from gpt_assistant_api.db.tables import metadata
from gpt_assistant_api.domain.errors import ConfigurationError
from tests.fixtures.databases import PostgresServer

SEARCH = {"search", "ix_messages_search"}


async def set_revision(database: Database, revision: str) -> None:
    async with database.write() as tx:
        await tx.execute("UPDATE alembic_version SET version_num = :new", new=revision)


async def revision_of(url: str) -> str | None:
    return await asyncio.to_thread(migrate.current, url)


def test_the_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(migrate.SCRIPTS))
    assert scripts.get_heads() == [migrate.head()]
    for revision in scripts.walk_revisions():
        assert Path(revision.path).name.startswith(f"{revision.revision}_")
        assert str(revision.down_revision or "") < revision.revision


async def test_an_empty_database_is_upgraded_and_a_second_time_left_alone(
    empty_database_url: str,
) -> None:
    assert await asyncio.to_thread(migrate.check_schema, empty_database_url) == "empty"
    for _ in range(2):
        await asyncio.to_thread(migrate.upgrade, empty_database_url)
        assert await asyncio.to_thread(migrate.check_schema, empty_database_url) == "current"


def test_looking_at_a_sqlite_file_that_is_not_there_creates_nothing(tmp_path: Path) -> None:
    assert migrate.current(f"sqlite:///{tmp_path / 'none.db'}") is None
    assert list(tmp_path.iterdir()) == []


async def test_opening_creates_a_sqlite_file_and_refuses_an_empty_postgresql(
    empty_database_url: str,
) -> None:
    if empty_database_url.startswith("sqlite"):
        database = await open_database(empty_database_url)
        await database.close()
        assert await revision_of(empty_database_url) == migrate.head()
    else:
        with pytest.raises(ConfigurationError, match="gpt-assistant-api init-db"):
            await open_database(empty_database_url)


async def test_what_migrate_says_goes_for_both_databases(empty_database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="empty: run `gpt-assistant-api init-db`"):
        await open_database(empty_database_url, migrate=False)
    database = await open_database(empty_database_url, migrate=True)
    await database.check()
    await database.close()


async def test_a_schema_that_is_newer_is_refused(database: Database, database_url: str) -> None:
    await set_revision(database, "99991231_2359")
    for choice in (None, True, False):
        with pytest.raises(ConfigurationError, match="newer than this program"):
            await open_database(database_url, migrate=choice)


async def test_a_schema_that_is_behind_is_refused_unless_it_may_be_migrated(
    database: Database, database_url: str
) -> None:
    await set_revision(database, "20200101_0000")
    with pytest.raises(ConfigurationError, match="behind: run `gpt-assistant-api init-db`"):
        await open_database(database_url, migrate=False)


async def test_programs_that_migrate_at_once_do_it_once(empty_database_url: str) -> None:
    script = "import sys; from gpt_assistant_api.db import migrate; migrate.upgrade(sys.argv[1])"
    programs = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, empty_database_url)
        for _ in range(3)
    ]
    assert [await program.wait() for program in programs] == [0, 0, 0]
    assert await revision_of(empty_database_url) == migrate.head()


async def test_a_program_killed_while_migrating_leaves_the_old_schema(
    empty_database_url: str,
) -> None:
    # It dies where the last table has been made and the new revision has not been noted.
    script = (
        "import os, signal, sys; from alembic.runtime.migration import HeadMaintainer;"
        "from pathlib import Path; from gpt_assistant_api.db import migrate;"
        "HeadMaintainer.update_to_step = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "url = sys.argv[1]; path = url.removeprefix('sqlite:///');"
        "is_file = path != url;"
        "migrate.run_migrations_on_sqlite(Path(path)) if is_file else migrate.upgrade(url)"
    )
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", script, empty_database_url)
    assert await program.wait() == -signal.SIGKILL
    assert await asyncio.to_thread(migrate.check_schema, empty_database_url) == "empty"
    await asyncio.to_thread(migrate.upgrade, empty_database_url)
    assert await asyncio.to_thread(migrate.check_schema, empty_database_url) == "current"


def test_a_program_killed_while_making_a_database_leaves_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    script = (
        "import os, signal, sqlite3, sys; from gpt_assistant_api.db import migrate\n"
        "class Dying(sqlite3.Connection):\n"
        "    def execute(self, sql, *arguments):\n"
        "        if sql.startswith('INSERT'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().execute(sql, *arguments)\n"
        "connect = sqlite3.connect\n"
        "sqlite3.connect = lambda *a, **named: connect(*a, **named | {'factory': Dying})\n"
        "migrate.upgrade(sys.argv[1])"
    )
    ended = subprocess.run([sys.executable, "-c", script, url], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert migrate.check_schema(url) == "empty"
    migrate.upgrade(url)
    assert migrate.check_schema(url) == "current"


def statements(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'index')"
        " AND tbl_name NOT LIKE 'messages_fts%' AND tbl_name NOT IN"
        " ('alembic_version', 'sqlite_sequence', 'unindexed_messages')"
    ).fetchall()
    connection.close()
    # The order of a table's columns and constraints is the only thing that may differ.
    return {" ".join(sorted(re.findall(r"[^\s,()]+|[()]", sql))) for (sql,) in rows}


def test_the_migrations_add_up_to_the_tables_on_sqlite(tmp_path: Path) -> None:
    migrate.run_migrations_on_sqlite(tmp_path / "migrated.db")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'tables.db'}", poolclass=sa.NullPool)
    metadata.create_all(engine)
    assert statements(tmp_path / "migrated.db") == statements(tmp_path / "tables.db")


async def test_the_migrations_add_up_to_the_tables_on_postgresql(
    postgres_server: PostgresServer, migrated_postgres: str
) -> None:
    def differences(connection: sa.Connection) -> list[Any]:
        options = {
            "compare_server_default": True,
            "include_name": lambda name, *_: name not in SEARCH,
        }
        found: list[Any] = compare_metadata(
            MigrationContext.configure(connection, opts=options), metadata
        )
        return found

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(postgres_server.url(migrated_postgres)),
        poolclass=sa.NullPool,
    )
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_what_was_indexed_at_once_is_found_and_forgotten_when_it_is_indexed_later(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.db"
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    with engine.connect() as connection, connection.begin():
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(migrate.SCRIPTS))
        command.upgrade(config, "20261126_0200")
    old = connect_sqlite(path)
    old.executescript(
        "INSERT INTO users VALUES ('ada', '2026-11-26');"
        "INSERT INTO threads (thread_id, user_id, title, created_at, updated_at)"
        " VALUES ('t', 'ada', 'T', '2026-11-26', '2026-11-26');"
        "INSERT INTO messages (thread_id, user_id, role, status, content, message_time)"
        " VALUES ('t', 'ada', 'user', 'completed', 'pear', '2026-11-26'),"
        " ('t', 'ada', 'user', 'completed', 'plum', '2026-11-26')"
    )
    old.close()
    database = await open_database(f"sqlite:///{path}")

    async def found(word: str) -> int:
        query = "SELECT rowid FROM messages_fts WHERE messages_fts MATCH :word"
        async with database.read() as tx:
            return len(await tx.fetch_all(query, word=word))

    assert (await found("pear"), await found("plum")) == (1, 1)
    async with database.write() as tx:
        await tx.execute("DELETE FROM messages WHERE content = 'pear'")
    assert (await found("pear"), await found("plum")) == (0, 1)
    await database.close()


def test_opening_a_current_sqlite_file_imports_no_migrations(migrated_sqlite: Path) -> None:
    script = (
        "import asyncio, sys; from gpt_assistant_api.db import open_database\n"
        "async def main(): await (await open_database(sys.argv[1])).close()\n"
        "asyncio.run(main())\n"
        "print(sorted({'alembic', 'sqlalchemy', 'asyncpg'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, f"sqlite:///{migrated_sqlite}"]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    "url", ["mysql://x", "sqlite://", "sqlite:///", "sqlite:///:memory:", "nonsense", ""]
)
async def test_a_url_of_no_database_is_refused_by_the_name_of_its_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        await open_database(url)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is a letter and not a database. " * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        await open_database(f"sqlite:///{tmp_path / 'text.db'}")


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        await open_database(f"sqlite:///{tmp_path / 'file' / 'app.db'}")


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[multiprocessing.process.BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=hold_lock, args=(f"sqlite:///{tmp_path}/a.db", ready, release))
    process.start()
    assert ready.wait(30)
    yield process
    process.kill()
    process.join()


def hold_lock(url: str, ready: Any, release: Any) -> None:
    with lock_for_server(url):
        ready.set()
        release.wait()


async def test_a_second_server_on_a_sqlite_file_is_refused_until_the_first_is_dead(
    other_server: multiprocessing.process.BaseProcess, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(ConfigurationError, match="DATABASE_URL"), lock_for_server(url):
        pass
    database = await open_database(url)  # a command beside the server
    await database.check()
    await database.close()
    other_server.kill()
    other_server.join()
    with lock_for_server(url):
        pass


def test_postgresql_takes_any_number_of_servers() -> None:
    with lock_for_server("postgresql://x"), lock_for_server("postgresql://x"):
        pass
