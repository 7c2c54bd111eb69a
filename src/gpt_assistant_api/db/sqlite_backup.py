"""A copy of a SQLite file as it is at one moment, also while a server writes to it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from gpt_assistant_api.db.sqlite_connections import translated
from gpt_assistant_api.db.sqlite_file import connect, sqlite_path
from gpt_assistant_api.domain.errors import ConfigurationError

_STEP_PAGES: Final = 4_096


def back_up(url: str, target: Path, tell: Callable[[int, int], None]) -> None:
    """Copy the file at `url` to `target`, which must not exist, and check the copy. Blocks.

    `tell` hears of the pages that are done and how many there are. Everything that was committed
    before the call is in the copy. Raises ConfigurationError or UnavailableError.
    """
    try:
        with closing(connect(sqlite_path(url))) as source, closing(sqlite3.connect(target)) as copy:
            # The snapshot is held from here on: without it, each write of a server that is running
            # would have the copy begin anew.
            source.execute("BEGIN")
            source.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
            source.backup(
                copy,
                pages=_STEP_PAGES,
                progress=lambda _, left, total: tell(total - left, total),
            )
            _check(copy)
    except sqlite3.Error as error:
        raise translated(error) from error


def _check(copy: sqlite3.Connection) -> None:
    found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise ConfigurationError(
            f"The SQLite file in DATABASE_URL is damaged, and so would be its backup: {found}."
        )
