"""Queries on `users`."""

from datetime import datetime

from gpt_assistant_api.db import usage
from gpt_assistant_api.db.database import Tx


async def insert_user(tx: Tx, user_id: str, created_at: datetime) -> None:
    """Remember a user, and keep them from being erased until this transaction ends.

    One who is known already stays as they are. Transactions that do this for one user take turns.
    """
    await tx.execute(
        "INSERT INTO users (user_id, created_at) VALUES (:user_id, :created_at)"
        " ON CONFLICT (user_id) DO UPDATE SET created_at = users.created_at",
        user_id=user_id,
        created_at=created_at,
    )


async def user_exists(tx: Tx, user_id: str) -> bool:
    """Tell whether anything was ever stored for this user and not erased."""
    row = await tx.fetch_one("SELECT user_id FROM users WHERE user_id = :user_id", user_id=user_id)
    return row is not None


async def lock_user(tx: Tx, user_id: str) -> None:
    """Have whoever would add to what is this user's wait until this transaction ends."""
    if tx.dialect == "postgresql":  # on SQLite there is one writer at a time
        for rows in ("user_id FROM users", "thread_id FROM threads"):
            await tx.fetch_all(
                f"SELECT {rows} WHERE user_id = :user_id ORDER BY 1 FOR UPDATE", user_id=user_id
            )


async def delete_user(tx: Tx, user_id: str) -> bool:
    """Delete a user with all threads, messages, runs, file records and usage; False if unknown."""
    await tx.execute("DELETE FROM idempotency_keys WHERE user_id = :user_id", user_id=user_id)
    deleted = await tx.execute("DELETE FROM users WHERE user_id = :user_id", user_id=user_id)
    # Afterwards, when no run of the user is left that could end and count.
    await usage.delete_usage(tx, user_id)
    return deleted > 0
