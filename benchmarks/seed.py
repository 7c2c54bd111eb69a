"""A database with threads of every size, made once by the program's own schema and then kept."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

_KEPT = Path(__file__).parents[1] / ".bench"
_BEGAN = datetime(2026, 1, 1, microsecond=123_456, tzinfo=UTC)
_ANSWER = (
    "The sky is blue because the air scatters short waves of light more than long ones. "
    "**Blue** is short, red is long:\n\n- at noon the way through the air is short,\n- in the"
    " evening it is long, and what is left of the light is red.\n"
)
_MESSAGE = (
    "INSERT INTO messages (message_id, thread_id, user_id, role, status, content, parent_id,"
    " reply_to, run_id, path_tokens, message_time)"
    " VALUES (?, ?, ?, ?, 'completed', ?, ?, ?, ?, ?, ?)"
)
_THREAD = (
    "INSERT INTO threads (thread_id, user_id, title, head_id, active_run_id, created_at,"
    " updated_at) VALUES (?, ?, ?, ?, NULL, ?, ?)"
)


def thread_id(number: int) -> str:
    """Return an id of the form that the program makes."""
    return f"thread_{number:032x}"


def user_of_messages(size: int) -> str:
    """Return the user whose one thread has so many messages."""
    return f"messages-{size}"


def user_of_threads(size: int) -> str:
    """Return the user who has so many threads."""
    return f"threads-{size}"


def seeded(message_sizes: list[int], thread_sizes: list[int]) -> Path:
    """Return a folder that serves as DATA_DIR: a thread of each size, a user of each size."""
    sizes = "-".join(str(size) for size in [*message_sizes, *thread_sizes])
    folder = _KEPT / f"pages-{sizes}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        database = folder / "assistant.db"
        database.unlink(missing_ok=True)
        subprocess.run(
            [Path(sys.executable).parent / "gpt-assistant-api", "init-db"],
            env={"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{database}"},
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        _fill(database, message_sizes, thread_sizes)
        (folder / "complete").touch()
    return folder


def _fill(database: Path, message_sizes: list[int], thread_sizes: list[int]) -> None:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous = OFF")
    users = [user_of_messages(size) for size in message_sizes]
    users += [user_of_threads(size) for size in thread_sizes]
    connection.executemany(
        "INSERT INTO users (user_id, created_at) VALUES (?, ?)", [(u, _at(0)) for u in users]
    )
    last = 0
    for size in message_sizes:
        user, thread = user_of_messages(size), thread_id(size)
        row = (thread, user, "Why is the sky blue?", last + size, _at(0), _at(size))
        connection.execute(_THREAD, row)
        connection.executemany(_MESSAGE, _messages(thread, user, last, size))
        last += size
    for size in thread_sizes:
        user = user_of_threads(size)
        connection.executemany(
            _THREAD,
            (
                (thread_id(size * 2**32 + n), user, "Why is the sky blue?", None, _at(n), _at(n))
                for n in range(size)
            ),
        )
    # As the program does it, which would be busy with it while it is measured.
    connection.execute(
        "INSERT INTO messages_fts (rowid, owner, content)"
        " SELECT message_id, 'u' || lower(hex(user_id)), content FROM messages"
    )
    connection.execute("DELETE FROM unindexed_messages")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _messages(thread: str, user: str, last: int, size: int) -> Iterator[tuple[object, ...]]:
    for number in range(1, size + 1):
        parent = last + number - 1 if number > 1 else None
        is_answer = number % 2 == 0
        yield (
            last + number, thread, user, "assistant" if is_answer else "user",
            _ANSWER if is_answer else "Why is the sky blue? And why is it red in the evening?",
            parent, parent if is_answer else None, f"run_{number:032x}" if is_answer else None,
            number * 40, _at(number),
        )  # fmt: skip


def _at(number: int) -> str:
    return (_BEGAN + timedelta(seconds=number)).isoformat(timespec="microseconds")
