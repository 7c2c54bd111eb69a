"""Queries on `files` and `message_files`."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from gpt_assistant_api.db.database import Database, Tx
from gpt_assistant_api.domain.files import File

_COLUMNS = "file_id, user_id, filename, content_type, size_bytes, width, height, sha256, created_at"


async def insert_file(tx: Tx, file: File) -> None:
    """Store the record of a file whose bytes are stored already."""
    await tx.execute(
        "INSERT INTO files (file_id, user_id, filename, content_type, size_bytes, width, height,"
        " sha256, created_at) VALUES (:file_id, :user_id, :filename, :content_type, :size_bytes,"
        " :width, :height, :sha256, :created_at)",
        file_id=file.file_id,
        user_id=file.user_id,
        filename=file.filename,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        width=file.width,
        height=file.height,
        sha256=file.sha256,
        created_at=file.created_at,
    )


async def fetch_file(tx: Tx, file_id: str) -> File | None:
    """Return the file; whose it is, is for the caller to judge."""
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM files WHERE file_id = :file_id", file_id=file_id
    )
    return File(**row) if row else None


async def claim_file(tx: Tx, file_id: str, *, user_id: str) -> File | None:
    """Return the file if it is this user's, or was nobody's and now is; else None."""
    row = await tx.fetch_one(
        "UPDATE files SET user_id = :user_id WHERE file_id = :file_id"
        f" AND (user_id IS NULL OR user_id = :user_id) RETURNING {_COLUMNS}",
        file_id=file_id,
        user_id=user_id,
    )
    return File(**row) if row else None


async def attach_files(tx: Tx, message_id: int, file_ids: Sequence[str]) -> None:
    """Place files on a message, in this order."""
    for position, file_id in enumerate(file_ids):
        await tx.execute(
            "INSERT INTO message_files (message_id, position, file_id)"
            " VALUES (:message_id, :position, :file_id)",
            message_id=message_id,
            position=position,
            file_id=file_id,
        )


async def fetch_files_of(tx: Tx, message_ids: Sequence[int]) -> dict[int, tuple[File, ...]]:
    """Return the files of each of these messages that has any, in their order."""
    rows = await tx.fetch_all(
        f"SELECT message_id, {_COLUMNS} FROM message_files JOIN files USING (file_id)"
        " WHERE message_id IN :message_ids ORDER BY message_id, position",
        message_ids=list(message_ids),
    )
    found: dict[int, list[File]] = {}
    for row in rows:
        found.setdefault(row.pop("message_id"), []).append(File(**row))
    return {message_id: tuple(files) for message_id, files in found.items()}


async def fetch_file_ids_in(tx: Tx, thread_id: str) -> list[str]:
    """Return the ids of the files that messages of this thread use."""
    rows = await tx.fetch_all(
        "SELECT DISTINCT mf.file_id FROM messages m"
        " JOIN message_files mf ON mf.message_id = m.message_id"
        " WHERE m.thread_id = :thread_id AND m.image_id IS NOT NULL",
        thread_id=thread_id,
    )
    return [row["file_id"] for row in rows]


async def fetch_files_of_user(tx: Tx, user_id: str, *, after: str | None, limit: int) -> list[File]:
    """Return up to `limit` of a user's files in the order of their ids, after `after`."""
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM files WHERE user_id = :user_id AND file_id > :after"
        " ORDER BY file_id LIMIT :limit",
        user_id=user_id,
        after=after or "",
        limit=limit,
    )
    return [File(**row) for row in rows]


async def iterate_files(database: Database, *, page: int = 100) -> AsyncIterator[list[File]]:
    """Yield everybody's files in pages; between them no transaction is open."""
    after = ""
    while True:
        async with database.read() as tx:
            rows = await tx.fetch_all(
                f"SELECT {_COLUMNS} FROM files WHERE file_id > :after ORDER BY file_id LIMIT :page",
                after=after,
                page=page,
            )
        if not rows:
            return
        yield [File(**row) for row in rows]
        after = rows[-1]["file_id"]


async def fetch_file_ids_of_user(tx: Tx, user_id: str) -> list[str]:
    """Return the ids of all of a user's files."""
    rows = await tx.fetch_all("SELECT file_id FROM files WHERE user_id = :user_id", user_id=user_id)
    return [row["file_id"] for row in rows]


async def count_bytes(tx: Tx, user_id: str) -> int:
    """Return how many bytes a user's files have together."""
    # Added up anew each time, from an index alone: 1 ms for 10,000 files, and it cannot drift.
    row = await tx.fetch_one(
        "SELECT COALESCE(SUM(size_bytes), 0) AS stored FROM files WHERE user_id = :user_id",
        user_id=user_id,
    )
    return int(row["stored"]) if row else 0


async def delete_unclaimed(tx: Tx, *, created_before: datetime, limit: int) -> list[str]:
    """Delete up to `limit` records of old files that no user ever used, and return their ids."""
    rows = await tx.fetch_all(
        "DELETE FROM files WHERE user_id IS NULL AND file_id IN (SELECT file_id FROM files"
        "  WHERE user_id IS NULL AND created_at < :created_before LIMIT :limit)"
        " RETURNING file_id",
        created_before=created_before,
        limit=limit,
    )
    return [row["file_id"] for row in rows]


async def fetch_existing(tx: Tx, file_ids: Sequence[str]) -> set[str]:
    """Return those of these ids that have a record."""
    rows = await tx.fetch_all(
        "SELECT file_id FROM files WHERE file_id IN :file_ids", file_ids=list(file_ids)
    )
    return {row["file_id"] for row in rows}


async def delete_unused(tx: Tx, file_ids: Sequence[str]) -> list[str]:
    """Delete the records of those of these files that no message uses, and return their ids.

    Their bytes are for the caller to delete afterwards.
    """
    deleted: list[str] = []
    for start in range(0, len(file_ids), 100):
        some = list(file_ids[start : start + 100])
        # Whoever is placing one of them on a message at this moment has claimed it: wait for that.
        await tx.execute(
            "UPDATE files SET size_bytes = size_bytes WHERE file_id IN :some", some=some
        )
        rows = await tx.fetch_all(
            "DELETE FROM files WHERE file_id IN :some AND NOT EXISTS"
            " (SELECT 1 FROM message_files mf WHERE mf.file_id = files.file_id)"
            " RETURNING file_id",
            some=some,
        )
        deleted += [row["file_id"] for row in rows]
    return deleted
