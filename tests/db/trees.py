"""Threads as trees, built by the queries of `db/`."""

from typing import Any

from gpt_assistant_api.db import Database, Tx, messages, threads, users
from gpt_assistant_api.domain.messages import Message, Role
from gpt_assistant_api.domain.threads import Thread
from tests.db.builders import NOON


async def make_thread(database: Database, thread_id: str = "thread_1", **changes: Any) -> Thread:
    """Store a thread, and its user where they are new."""
    values: dict[str, Any] = {"user_id": "ada", "title": "T", "updated_at": NOON} | changes
    thread = Thread(
        thread_id, values["user_id"], values["title"], None, None, NOON, values["updated_at"]
    )
    async with database.write() as tx:
        await users.insert_user(tx, thread.user_id, NOON)
        await threads.insert_thread(tx, thread)
    return thread


async def add(tx: Tx, parent: Message | None, role: Role = "user", **changes: Any) -> Message:
    """Append a message below another one."""
    values: dict[str, Any] = {
        "thread_id": parent.thread_id if parent else "thread_1",
        "user_id": "ada",
        "status": "completed",
        "content": "Hello",
        "path_tokens": (parent.path_tokens if parent else 0) + 10,
        "message_time": NOON,
    }
    return await messages.insert_message(
        tx, role=role, parent_id=parent.message_id if parent else None, **(values | changes)
    )


async def chain(tx: Tx, count: int, parent: Message | None = None) -> list[Message]:
    """Append questions and answers below each other."""
    made: list[Message] = []
    for number in range(count):
        parent = await add(tx, parent, "assistant" if number % 2 else "user")
        made.append(parent)
    return made
