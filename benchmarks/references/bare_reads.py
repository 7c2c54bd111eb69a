"""R4: what reading costs at the least. A bare ASGI application, raw sqlite3, orjson.

It knows two paths: a thread with its newest messages, and a user's threads. Every message is its
own only version, which is true of the data that is measured.
"""

import os
import sqlite3
from typing import Any

import orjson

_MESSAGES, _THREADS = 20, 10
_THREAD = ("thread_id", "user_id", "title", "head_id", "active_run_id", "created_at", "updated_at")
_MESSAGE = (
    "message_id", "thread_id", "role", "status", "content", "image_id", "reply_to", "parent_id",
    "run_id", "message_time",
)  # fmt: skip

_connection = sqlite3.connect(f"file:{os.environ['DATABASE']}?mode=ro", uri=True)


def thread_page(user_id: str, thread_id: str) -> dict[str, Any]:
    """Return a thread and its newest messages."""
    thread = _connection.execute(
        f"SELECT {', '.join(_THREAD)} FROM threads WHERE thread_id = ? AND user_id = ?",
        (thread_id, user_id),
    ).fetchone()
    rows = _connection.execute(
        f"SELECT {', '.join(_MESSAGE)} FROM messages WHERE thread_id = ?"
        " ORDER BY message_id DESC LIMIT ?",
        (thread_id, _MESSAGES),
    ).fetchall()
    messages = [_message(row) for row in reversed(rows)]
    return {"thread": _thread(thread), "messages": messages}


def threads_page(user_id: str) -> dict[str, Any]:
    """Return a user's newest threads."""
    rows = _connection.execute(
        f"SELECT {', '.join(_THREAD)} FROM threads WHERE user_id = ?"
        " ORDER BY updated_at DESC, thread_id DESC LIMIT ?",
        (user_id, _THREADS),
    ).fetchall()
    return {"threads": [_thread(row) for row in rows]}


def _thread(row: tuple[Any, ...]) -> dict[str, Any]:
    thread = dict(zip(_THREAD, row, strict=True))
    thread["created_at"] = _moment(thread["created_at"])
    thread["updated_at"] = _moment(thread["updated_at"])
    return thread


def _message(row: tuple[Any, ...]) -> dict[str, Any]:
    message = dict(zip(_MESSAGE, row, strict=True))
    message["message_time"] = _moment(message["message_time"])
    message["content_html"] = None
    message["files"] = []
    message["versions"] = {"index": 1, "count": 1, "ids": [message["message_id"]]}
    return message


def _moment(stored: str) -> str:
    return f"{stored.replace(' ', 'T').removesuffix('+00:00')}Z"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer `/threads/{user_id}` and `/threads/{user_id}/{thread_id}`."""
    if scope["type"] == "lifespan":
        return
    _, _, user_id, *rest = scope["path"].split("/")
    data = orjson.dumps(thread_page(user_id, rest[0]) if rest else threads_page(user_id))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})
