"""R3: what our work costs at the least. A thread and its messages are stored, and nothing else.

A FastAPI route, aiohttp, an SSE split of its own, msgspec, and one thread that writes to SQLite:
whatever waits shares a COMMIT, and an ask goes on when its own is durable. No run outlives its
request, nothing can be resumed, cancelled or looked up.
"""

import asyncio
import os
import sqlite3
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import Future
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import aiohttp
import msgspec
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from benchmarks.model_server import MODEL

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS threads (
    thread_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, title TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    message_id INTEGER PRIMARY KEY, thread_id TEXT NOT NULL, role TEXT NOT NULL,
    content TEXT NOT NULL, at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_of_thread ON messages (thread_id, message_id);
"""
_THREAD = "INSERT INTO threads VALUES (?, ?, ?, ?)"
_MESSAGE = "INSERT INTO messages (thread_id, role, content, at) VALUES (?, ?, ?, ?)"

Statements = list[tuple[str, tuple[Any, ...]]]


class Ask(BaseModel):
    """A question."""

    user_id: str
    prompt: str
    stream: bool = False


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


_decode = msgspec.json.Decoder(_Chunk).decode
_encode = msgspec.json.Encoder().encode


class Writer:
    """One thread, one connection, one COMMIT for all that wait."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inbox: SimpleQueue[tuple[Statements, Future[None]]] = SimpleQueue()
        Thread(target=self._run, daemon=True).start()

    async def write(self, statements: Statements) -> None:
        """Return when the statements are durable."""
        done: Future[None] = Future()
        self._inbox.put((statements, done))
        await asyncio.wrap_future(done)

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.executescript(_SCHEMA)
        while True:
            group = [self._inbox.get()]
            try:
                while True:
                    group.append(self._inbox.get_nowait())
            except Empty:
                pass
            connection.execute("BEGIN IMMEDIATE")
            for statements, _ in group:
                for sql, arguments in statements:
                    connection.execute(sql, arguments)
            connection.execute("COMMIT")
            for _, done in group:
                done.set_result(None)


app = FastAPI()
writer = Writer(os.environ["DATABASE"])
_session: list[aiohttp.ClientSession] = []


def session() -> aiohttp.ClientSession:
    """Return the one session of this process."""
    if not _session:
        connector = aiohttp.TCPConnector(limit=0)
        _session.append(aiohttp.ClientSession(connector=connector, read_bufsize=256 * 1024))
    return _session[0]


@app.post("/ask")
async def ask(body: Ask) -> Response:
    """Store a question, have it answered, store the answer."""
    thread_id, now = uuid.uuid4().hex, datetime.now(UTC).isoformat()
    await writer.write(
        [
            (_THREAD, (thread_id, body.user_id, body.prompt[:80], now)),
            (_MESSAGE, (thread_id, "user", body.prompt, now)),
        ]
    )
    if body.stream:
        return StreamingResponse(_frames(thread_id, body.prompt), media_type="text/event-stream")
    texts = [text async for text in _texts(body.prompt)]
    await _store(thread_id, "".join(texts))
    answer = {"thread_id": thread_id, "answer": "".join(texts)}
    return Response(_encode(answer), media_type="application/json")


async def _frames(thread_id: str, prompt: str) -> AsyncIterator[bytes]:
    texts: list[str] = []
    async for text in _texts(prompt):
        texts.append(text)
        yield b"event: delta\ndata: %b\n\n" % _encode({"text": text})
    await _store(thread_id, "".join(texts))
    yield b"event: done\ndata: {}\n\n"


async def _store(thread_id: str, text: str) -> None:
    now = datetime.now(UTC).isoformat()
    await writer.write([(_MESSAGE, (thread_id, "assistant", text, now))])


async def _texts(prompt: str) -> AsyncIterator[str]:
    """Yield the text of all deltas that came together."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    url = f"{os.environ['MODEL_URL']}/chat/completions"
    headers = {"Content-Type": "application/json"}
    buffer = b""
    async with session().post(url, data=_encode(body), headers=headers) as response:
        async for data in response.content.iter_any():
            *frames, buffer = (buffer + data).split(b"\n\n")
            if text := "".join([_text(frame) for frame in frames]):
                yield text


def _text(frame: bytes) -> str:
    data = frame.removeprefix(b"data: ")
    if data == b"[DONE]":
        return ""
    choices = _decode(data).choices
    return (choices[0].delta.content or "") if choices else ""
