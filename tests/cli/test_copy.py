"""`copy`: everything arrives as it was, in any direction, after any interruption, or it is said."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from gpt_assistant_api import db
from gpt_assistant_api.blobs import open_blobs, original_key
from gpt_assistant_api.db.copying import PAGE_ROWS
from gpt_assistant_api.db.tables import metadata

from .installation import Installation, ask, everything, make_installation, rows
from .programs import Server, run, serving, started

MESSAGES = 20 * PAGE_ROWS
NOON = "2026-11-24T12:00:00.000000+00:00"


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation that no test changes."""
    return make_installation(tmp_path_factory.mktemp("lived-in"))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def test_a_laptop_moves_to_postgresql_and_s3_and_goes_on_there(
    lived_in: Installation, tmp_path: Path, empty_postgres_url: str, s3_url: str
) -> None:
    own = lived_in.copied(tmp_path)
    with sqlite3.connect(own.database) as connection:
        [given] = connection.execute("SELECT seq FROM sqlite_sequence").fetchone()
        [highest] = connection.execute("SELECT MAX(message_id) FROM messages").fetchone()
    connection.close()
    assert given > highest
    with serving(own.folder) as server:
        before = everything(server.url, own.key)
        server.stop()
    ended = run(
        own.folder, "copy", "--from", own.database_url, "--to", empty_postgres_url,
        "--files-from", own.files_url, "--files-to", s3_url,
    )  # fmt: skip
    assert (ended.status, ended.err) == (0, "")
    assert "DIFFERENT" not in ended.out
    settings = {"DATABASE_URL": empty_postgres_url, "FILES_URL": s3_url}
    with serving(own.folder, **settings) as server:
        assert everything(server.url, own.key) == before
        asked = ask(server.url, "And now?", key=own.key, thread_id=before[0]["thread"]["thread_id"])
        assert asked["user_message"]["message_id"] > given


def test_there_and_back_again_every_row_is_as_it_was(
    lived_in: Installation, tmp_path: Path, empty_database_url: str
) -> None:
    back = tmp_path / "back.db"
    for source, target in (
        (lived_in.database_url, empty_database_url),
        (empty_database_url, f"sqlite:///{back}"),
    ):
        ended = run(tmp_path, "copy", "--from", source, "--to", target)
        assert (ended.status, ended.err) == (0, "")
    original = rows(lived_in.database)
    assert all(found for table, found in original.items() if table != "workers")
    assert rows(back) == original
    with (
        sqlite3.connect(back) as connection,
        sqlite3.connect(lived_in.database) as first,
    ):
        counted = "SELECT name, seq FROM sqlite_sequence"
        assert connection.execute(counted).fetchall() == first.execute(counted).fetchall()
        found = "SELECT COUNT(*) FROM messages_fts WHERE messages_fts MATCH 'question'"
        there = "SELECT COUNT(*) FROM messages WHERE content LIKE '%question%'"
        assert connection.execute(found).fetchone() == first.execute(there).fetchone() != (0,)
    connection.close()
    first.close()


async def test_a_copy_that_was_killed_is_completed_by_the_next(
    tmp_path: Path, new_sqlite_url: str, sqlite_file: Path, new_postgres_url: str
) -> None:
    fill(sqlite_file)
    command = ["copy", "--from", new_sqlite_url, "--to", new_postgres_url]
    async with connected(new_postgres_url) as other, connected(new_postgres_url) as watcher:
        # Somebody else's row that is neither there nor not there: the copy waits before it.
        await other.execute("SET session_replication_role = replica")
        await other.execute("BEGIN")
        await other.execute(
            "INSERT INTO messages (message_id, thread_id, user_id, role, status, content,"
            f" message_time) VALUES ({MESSAGES // 2}, 't', 'ada', 'user', 'completed', '', now())"
        )
        with started(tmp_path, *command) as process:
            done = 0
            async with asyncio.timeout(30):
                while done < MESSAGES // 2 - PAGE_ROWS:
                    assert process.poll() is None, (tmp_path / "err").read_text()
                    done = await watcher.fetchval("SELECT COUNT(*) FROM messages")
                    await asyncio.sleep(0.01)
            process.kill()
            process.wait()
        await other.execute("ROLLBACK")
        assert done < MESSAGES
        ended = run(tmp_path, *command)
        assert (ended.status, ended.err) == (0, "")
        assert await watcher.fetchval("SELECT COUNT(*) FROM messages") == MESSAGES


def fill(path: Path) -> None:
    """Make one long thread: each message is behind the one before it."""
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO users VALUES ('ada', ?)", [NOON])
        connection.execute(
            "INSERT INTO threads (thread_id, user_id, title, created_at, updated_at)"
            " VALUES ('t', 'ada', 'T', ?, ?)",
            [NOON, NOON],
        )
        connection.executemany(
            "INSERT INTO messages (message_id, thread_id, user_id, role, status, content,"
            " parent_id, message_time) VALUES (?, 't', 'ada', 'user', 'completed', 'Hello', ?, ?)",
            [(number, number - 1 or None, NOON) for number in range(1, MESSAGES + 1)],
        )
    connection.close()


@pytest.mark.parametrize("foreign", ["another user", "the same user at another time"])
async def test_a_target_with_other_data_is_refused_and_stays_as_it_is(
    lived_in: Installation, tmp_path: Path, database_url: str, foreign: str
) -> None:
    user_id = "eve" if foreign == "another user" else "ada"
    database = await db.open_database(database_url)
    async with database.write() as tx:
        await tx.execute(
            "INSERT INTO users (user_id, created_at) VALUES (:user_id, CURRENT_TIMESTAMP)",
            user_id=user_id,
        )
    await database.close()
    ended = run(tmp_path, "copy", "--from", lived_in.database_url, "--to", database_url)
    assert (ended.status, ended.out) == (2, "")
    assert "The target has data in `users` that is not the source's" in ended.err
    database = await db.open_database(database_url)
    async with database.read() as tx:
        assert len(await tx.fetch_all("SELECT user_id FROM users")) == 1
        assert await tx.fetch_all("SELECT thread_id FROM threads") == []
    await database.close()


async def test_a_table_that_arrives_differently_is_named(
    lived_in: Installation, tmp_path: Path, new_postgres_url: str
) -> None:
    async with connected(new_postgres_url) as target:
        await target.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$"
        )
        await target.execute(
            "CREATE TRIGGER spoil BEFORE INSERT ON threads FOR EACH ROW EXECUTE FUNCTION spoil()"
        )
    ended = run(tmp_path, "copy", "--from", lived_in.database_url, "--to", new_postgres_url)
    assert ended.status == 1
    assert ended.err == "Error: not everything is the same on both sides: table threads.\n"
    assert ended.out.count("DIFFERENT") == 1


async def test_files_that_are_there_are_skipped_and_one_that_is_damaged_is_named(
    lived_in: Installation, tmp_path: Path, s3_url: str
) -> None:
    own = lived_in.copied(tmp_path)
    command = ["copy", "--files-from", own.files_url, "--files-to", s3_url]
    first = run(own.folder, *command)
    assert (first.status, first.err) == (0, "")
    [file_id, size, lost, *_] = [
        value for row in rows(own.database)["files"] for value in (row[0], row[4])
    ]
    await open_blobs(s3_url).put(original_key(file_id), b"x" * size)
    await open_blobs(own.files_url).delete([original_key(lost)])
    again = run(own.folder, *command)
    assert again.status == 1
    assert f"--files-to: {file_id} is damaged" in again.err
    assert f"--files-from: {lost} is missing" in again.err
    assert again.err.endswith("the same on both sides: --files-from, --files-to.\n")


@pytest.mark.parametrize("side", ["--from", "--to"])
def test_a_server_that_runs_on_either_side_stops_the_copy(
    open_server: Server, tmp_path: Path, side: str
) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert run(tmp_path, "init-db", DATABASE_URL=other).status == 0
    opposite = "--to" if side == "--from" else "--from"
    ended = run(
        tmp_path, "copy", side, f"sqlite:///{open_server.folder}/data/assistant.db", opposite, other
    )
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: Another server is running on the SQLite file in {side}.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name what to copy"),
        (["--from", "sqlite:///a.db"], "--from and --to go together"),
        (["--files-to", "memory:///"], "--files-from and --files-to go together"),
        (["--from", "sqlite:///a.db", "--to", "sqlite:///a.db"], "are the same"),
        (["--from", "sqlite:///a.db", "--to", "sqlite:///b.db"], "--from names no database"),
    ],
)
def test_what_cannot_be_copied_is_one_clear_line(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    ended = run(tmp_path, "copy", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.glob("*.db*")) == []


def test_every_column_is_of_a_type_that_both_databases_hand_out_alike() -> None:
    types = {type(column.type) for table in metadata.tables.values() for column in table.columns}
    assert types <= {sa.Text, sa.Integer, sa.BigInteger, sa.DateTime}
