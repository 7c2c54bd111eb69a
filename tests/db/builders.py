"""Rows for stories about the database, written without the queries of `db/`."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from gpt_assistant_api.db import Database, Tx

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


async def insert_user(tx: Tx, user_id: str, at: datetime = NOON) -> None:
    await tx.execute(
        "INSERT INTO users (user_id, created_at) VALUES (:user_id, :at)", user_id=user_id, at=at
    )


async def insert_thread(tx: Tx, thread_id: str, user_id: str) -> None:
    await tx.execute(
        "INSERT INTO threads (thread_id, user_id, title, created_at, updated_at)"
        " VALUES (:thread_id, :user_id, 'T', :at, :at)",
        thread_id=thread_id,
        user_id=user_id,
        at=NOON,
    )


async def insert_message(tx: Tx, thread_id: str, user_id: str, **columns: Any) -> int:
    row = await tx.fetch_one(
        "INSERT INTO messages (thread_id, user_id, role, status, content, parent_id, reply_to,"
        " message_time) VALUES (:thread_id, :user_id, :role, :status, :content, :parent_id,"
        " :reply_to, :at) RETURNING message_id",
        thread_id=thread_id,
        user_id=user_id,
        at=NOON,
        **{
            "role": "user",
            "status": "completed",
            "content": "Hello",
            "parent_id": None,
            "reply_to": None,
        }
        | columns,
    )
    assert row is not None
    message_id: int = row["message_id"]
    return message_id


async def users_in(tx: Tx) -> list[str]:
    rows = await tx.fetch_all("SELECT user_id FROM users ORDER BY user_id")
    return [row["user_id"] for row in rows]


async def users(database: Database) -> list[str]:
    async with database.read() as tx:
        return await users_in(tx)


async def count(database: Database, table: str) -> int:
    async with database.read() as tx:
        row = await tx.fetch_one(f"SELECT COUNT(*) AS n FROM {table}")
    assert row is not None
    n: int = row["n"]
    return n


async def insert_alone(database: Database, user_id: str) -> None:
    async with database.write() as tx:
        await insert_user(tx, user_id)


class Blocked:
    """A write block that is held open from outside."""

    def __init__(self, database: Database, user_id: str) -> None:
        self.inside, self.go_on = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._run(database, user_id))

    async def _run(self, database: Database, user_id: str) -> None:
        async with database.write() as tx:
            await insert_user(tx, user_id)
            self.inside.set()
            await self.go_on.wait()
