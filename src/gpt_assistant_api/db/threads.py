"""Queries on `threads`."""

from collections.abc import Sequence
from datetime import datetime

from gpt_assistant_api.db.database import Tx
from gpt_assistant_api.domain.threads import Thread

_COLUMNS = "thread_id, user_id, title, head_id, active_run_id, created_at, updated_at"


async def insert_thread(tx: Tx, thread: Thread) -> None:
    """Store a new thread."""
    await tx.execute(
        f"INSERT INTO threads ({_COLUMNS}) VALUES (:thread_id, :user_id, :title, :head_id,"
        " :active_run_id, :created_at, :updated_at)",
        thread_id=thread.thread_id,
        user_id=thread.user_id,
        title=thread.title,
        head_id=thread.head_id,
        active_run_id=thread.active_run_id,
        created_at=thread.created_at,
        updated_at=thread.updated_at,
    )


async def fetch_thread(tx: Tx, thread_id: str, *, user_id: str) -> Thread | None:
    """Return the thread if it exists and belongs to `user_id`."""
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM threads WHERE thread_id = :thread_id AND user_id = :user_id",
        thread_id=thread_id,
        user_id=user_id,
    )
    return Thread(**row) if row else None


async def lock_thread(tx: Tx, thread_id: str, *, user_id: str) -> Thread | None:
    """Return the thread and keep every other writer of it waiting until this transaction ends."""
    lock = "FOR NO KEY UPDATE" if tx.dialect == "postgresql" else ""  # SQLite has one writer
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM threads"
        f" WHERE thread_id = :thread_id AND user_id = :user_id {lock}",
        thread_id=thread_id,
        user_id=user_id,
    )
    return Thread(**row) if row else None


async def fetch_threads(
    tx: Tx, user_id: str, *, before: tuple[datetime, str] | None, limit: int
) -> list[Thread]:
    """Return up to `limit` threads, newest activity first, that come after `before`."""
    position = "AND (updated_at, thread_id) < (:updated_at, :thread_id)" if before else ""
    moment, thread_id = before or (None, None)
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM threads WHERE user_id = :user_id {position}"
        " ORDER BY updated_at DESC, thread_id DESC LIMIT :limit",
        user_id=user_id,
        limit=limit,
        **({"updated_at": moment, "thread_id": thread_id} if before else {}),
    )
    return [Thread(**row) for row in rows]


async def update_thread(
    tx: Tx,
    thread_id: str,
    *,
    title: str,
    head_id: int | None,
    active_run_id: str | None,
    updated_at: datetime,
) -> None:
    """Write the changeable columns of a thread that this transaction has locked."""
    await tx.execute(
        "UPDATE threads SET title = :title, head_id = :head_id, active_run_id = :active_run_id,"
        " updated_at = :updated_at WHERE thread_id = :thread_id",
        thread_id=thread_id,
        title=title,
        head_id=head_id,
        active_run_id=active_run_id,
        updated_at=updated_at,
    )


async def delete_thread(tx: Tx, thread_id: str, *, user_id: str) -> bool:
    """Delete the thread with its messages and runs; False when there is none."""
    changed = await tx.execute(
        "DELETE FROM threads WHERE thread_id = :thread_id AND user_id = :user_id",
        thread_id=thread_id,
        user_id=user_id,
    )
    return changed > 0


async def fetch_titles(tx: Tx, thread_ids: Sequence[str]) -> dict[str, str]:
    """Return the titles of these threads by id."""
    rows = await tx.fetch_all(
        "SELECT thread_id, title FROM threads WHERE thread_id IN :thread_ids",
        thread_ids=list(thread_ids),
    )
    return {row["thread_id"]: row["title"] for row in rows}
