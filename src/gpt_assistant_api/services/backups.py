"""A folder that a server can be started on: the database of one moment, and its files."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gpt_assistant_api import db
from gpt_assistant_api.blobs import Blobs
from gpt_assistant_api.blobs.copying import copy_files
from gpt_assistant_api.db import files, sqlite_backup

DATABASE_NAME: Final = "assistant.db"

Tell = Callable[[str, int, int | None], None]
"""Hears what is being done, how much of it is done, and of how much where that is known."""


@dataclass(slots=True)
class BackedUp:
    """How many files a backup has, and those that its database names and it has not whole."""

    files: int = 0
    deleted_since: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def back_up(url: str, blobs: Blobs, folder: Path, target: Blobs, tell: Tell) -> BackedUp:
    """Put the SQLite database at `url` as it is now into `folder`, and its files into `target`.

    A server may be running: what it acknowledged before the call is in the backup. Raises
    ConfigurationError or UnavailableError.
    """
    path = folder / DATABASE_NAME
    live = await db.open_database(url, migrate=False)
    try:
        await asyncio.to_thread(
            sqlite_backup.back_up, url, path, lambda done, total: tell("database", done, total)
        )
        snapshot = await db.open_database(f"sqlite:///{path}", migrate=False)
        try:
            return await _back_up_files(snapshot, live, blobs, target, tell)
        finally:
            await snapshot.close()
    finally:
        await live.close()


async def _back_up_files(
    snapshot: db.Database, live: db.Database, blobs: Blobs, target: Blobs, tell: Tell
) -> BackedUp:
    result = BackedUp()
    async for page in files.iterate_files(snapshot):
        states = await copy_files(blobs, target, page)
        not_whole = {
            file.file_id: state
            for file, state in zip(page, states, strict=True)
            if state != "whole"
        }
        async with live.read() as tx:
            existing = await files.fetch_existing(tx, list(not_whole))
        result.files += len(page) - len(not_whole)
        result.deleted_since += [name for name in not_whole if name not in existing]
        result.wrong += [
            f"{name} is {state}" for name, state in not_whole.items() if name in existing
        ]
        tell("files", result.files, None)
    return result
