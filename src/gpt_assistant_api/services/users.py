"""Users: everything of one as a ZIP, and erasing it all."""

import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterable
from datetime import date, datetime
from typing import Any

from gpt_assistant_api import db
from gpt_assistant_api.archive import Member, zip_stream
from gpt_assistant_api.blobs import Blobs, keys_of, original_key
from gpt_assistant_api.db import files, messages, runs, threads, usage, users
from gpt_assistant_api.domain.archives import UniqueNames
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import NotFoundError
from gpt_assistant_api.domain.files import File
from gpt_assistant_api.domain.threads import Thread
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine

_PAGE = 100


async def export_user(
    database: db.Database, blobs: Blobs, actor: Actor, user_id: str
) -> AsyncIterable[bytes]:
    """Return everything of a user as a ZIP that is made while it is sent.

    `user.json`, a JSON Lines file a thread (the thread, then its messages, oldest first),
    `runs.jsonl`, `usage.jsonl` (its days), `files.jsonl` and the files. Raises NotFoundError before
    the first byte.
    """
    user_id = actor.act_for(user_id)
    async with database.read() as tx:
        if not await users.user_exists(tx, user_id):
            raise _no_user()
    return zip_stream(_members(database, blobs, user_id))


async def delete_user(
    database: db.Database, blobs: Blobs, engine: Engine, actor: Actor, user_id: str
) -> None:
    """Erase a user with all threads, messages, runs and files. Raises NotFoundError."""
    user_id = actor.act_for(user_id)
    async with database.write() as tx:
        await users.lock_user(tx, user_id)
        unfinished = await runs.fetch_unfinished_of_user(tx, user_id)
        file_ids = await files.fetch_file_ids_of_user(tx, user_id)
        if not await users.delete_user(tx, user_id):
            raise _no_user()
    for run in unfinished:
        await engine.drop_run(run)
    await blobs.delete(key for file_id in file_ids for key in keys_of(file_id))


async def _members(
    database: db.Database, blobs: Blobs, user_id: str
) -> AsyncGenerator[Member, None]:
    now = utc_now()
    about = {"user_id": user_id, "exported_at": now}
    yield Member("user.json", now, _pieces([about]))
    async for thread in _threads(database, user_id):
        name = f"threads/{thread.thread_id}.jsonl"
        yield Member(name, thread.updated_at, _thread_lines(database, thread))
    yield Member("runs.jsonl", now, _run_lines(database, user_id))
    yield Member("usage.jsonl", now, _usage_lines(database, user_id))
    yield Member("files.jsonl", now, _file_lines(database, user_id))
    names = UniqueNames()
    async for file in _files(database, user_id):
        yield Member(
            f"files/{names.unique(file.filename)}",
            file.created_at,
            blobs.stream(original_key(file.file_id), 0, file.size_bytes),
        )


async def _threads(database: db.Database, user_id: str) -> AsyncGenerator[Thread, None]:
    before = None
    while True:
        async with database.read() as tx:
            page = await threads.fetch_threads(tx, user_id, before=before, limit=_PAGE)
        for thread in page:
            yield thread
        if len(page) < _PAGE:
            return
        before = (page[-1].updated_at, page[-1].thread_id)


async def _thread_lines(database: db.Database, thread: Thread) -> AsyncGenerator[bytes, None]:
    yield _line(thread)
    after = 0
    while True:
        async with database.read() as tx:
            page = await messages.fetch_messages_after(
                tx, thread.thread_id, after=after, limit=_PAGE
            )
            page = await messages.with_relations(tx, page)
        for message in page:
            yield _line(message)
        if len(page) < _PAGE:
            return
        after = page[-1].message_id


async def _run_lines(database: db.Database, user_id: str) -> AsyncGenerator[bytes, None]:
    after = None
    while True:
        async with database.read() as tx:
            page = await runs.fetch_runs_of_user(tx, user_id, after=after, limit=_PAGE)
        for run in page:
            yield _line(run)
        if len(page) < _PAGE:
            return
        after = (page[-1].created_at, page[-1].run_id)


async def _usage_lines(database: db.Database, user_id: str) -> AsyncGenerator[bytes, None]:
    async with database.read() as tx:
        days = await usage.fetch_usage(tx, user_id, date.min, date.max)
    for day, used in days.items():
        yield _line({"day": day.isoformat(), **dataclasses.asdict(used)})


async def _file_lines(database: db.Database, user_id: str) -> AsyncGenerator[bytes, None]:
    async for file in _files(database, user_id):
        yield _line(file)


async def _files(database: db.Database, user_id: str) -> AsyncGenerator[File, None]:
    after: str | None = None
    while True:
        async with database.read() as tx:
            page = await files.fetch_files_of_user(tx, user_id, after=after, limit=_PAGE)
        for file in page:
            yield file
        if len(page) < _PAGE:
            return
        after = page[-1].file_id


async def _pieces(records: list[dict[str, Any]]) -> AsyncGenerator[bytes, None]:
    for record in records:
        yield _line(record)


def _line(record: Any) -> bytes:
    plain = record if isinstance(record, dict) else dataclasses.asdict(record)
    return json.dumps(plain, ensure_ascii=False, default=_plain).encode() + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"cannot write {type(value).__name__}")


def _no_user() -> NotFoundError:
    return NotFoundError("There is no such user.", code="user_not_found")
