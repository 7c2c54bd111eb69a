"""A new SQLite database is what the migrations would make of an empty one."""

import sqlite3
from pathlib import Path

from gpt_assistant_api.db import migrate

from . import sqlite_schema


def test_the_schema_is_what_the_migrations_make() -> None:
    assert migrate.SQLITE_SCHEMA.read_text("utf-8") == sqlite_schema.schema(), "run `make docs`"


def test_a_new_database_has_all_that_a_migrated_one_has(tmp_path: Path) -> None:
    new, migrated = tmp_path / "new.db", tmp_path / "migrated.db"
    migrate.upgrade(f"sqlite:///{new}")
    migrate.run_migrations_on_sqlite(migrated)
    assert contents(new) == contents(migrated)


def contents(path: Path) -> tuple[list[tuple[str, ...]], list[tuple[str]]]:
    """Return everything that is defined, and the revision."""
    connection = sqlite3.connect(path)
    defined = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    return sorted(defined, key=str), revision
