"""Much data at once, written where the server reads it."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gpt_assistant_api.domain.ids import new_id
from tests.browser.chat import USER

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def insert_threads(path: Path, titles: Iterable[str]) -> list[str]:
    """Store empty threads, each newer than the one before it, and return their ids."""
    with _writing(path) as connection:
        return [
            _insert_thread(connection, title, _moment(minute))
            for minute, title in enumerate(titles)
        ]


def insert_conversation(path: Path, title: str, contents: Sequence[str]) -> str:
    """Store a thread in which questions and answers alternate, and return its id."""
    with _writing(path) as connection:
        thread_id = _insert_thread(connection, title, _moment(0))
        [last] = connection.execute("SELECT coalesce(max(message_id), 0) FROM messages").fetchone()
        connection.executemany(
            "INSERT INTO messages (message_id, thread_id, user_id, role, status, content,"
            " parent_id, message_time) VALUES (?, ?, ?, ?, 'completed', ?, ?, ?)",
            (
                (
                    last + number,
                    thread_id,
                    USER,
                    "user" if number % 2 else "assistant",
                    content,
                    last + number - 1 if number > 1 else None,
                    _moment(number),
                )
                for number, content in enumerate(contents, start=1)
            ),
        )
        connection.execute(
            "UPDATE threads SET head_id = ? WHERE thread_id = ?",
            (last + len(contents), thread_id),
        )
    return thread_id


def _insert_thread(connection: sqlite3.Connection, title: str, moment: str) -> str:
    thread_id = new_id("thread")
    connection.execute(
        "INSERT OR IGNORE INTO users (user_id, created_at) VALUES (?, ?)", (USER, moment)
    )
    connection.execute(
        "INSERT INTO threads (thread_id, user_id, title, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (thread_id, USER, title, moment, moment),
    )
    return thread_id


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        yield connection


def _moment(minutes: int) -> str:
    return (_BEGINNING + timedelta(minutes=minutes)).isoformat(timespec="microseconds")
