"""Files: upload, read, thumbnails, and a thread's files as one ZIP."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from gpt_assistant_api import db, images
from gpt_assistant_api.archive import Member, zip_stream
from gpt_assistant_api.blobs import Blobs, keys_of, original_key, thumbnail_key
from gpt_assistant_api.db import files, messages, threads, users
from gpt_assistant_api.domain.archives import UniqueNames
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import NotFoundError, UnavailableError
from gpt_assistant_api.domain.files import File, safe_filename, storage_exceeded
from gpt_assistant_api.domain.ids import new_id
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.telemetry import SILENT, Telemetry

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that claims to be an image, and the name that the client gave it."""

    filename: str | None
    file: BinaryIO


async def upload_file(
    database: db.Database,
    blobs: Blobs,
    actor: Actor,
    user_id: str | None,
    upload: Upload,
    telemetry: Telemetry = SILENT,
    *,
    storage_bytes: int = 0,
) -> File:
    """Store an image; without a user it belongs to the first whose ask names it.

    Raises UnsupportedMediaError or InvalidError, or TooLargeError where all files of the user would
    be larger than `storage_bytes` (0: no limit), and then leaves nothing behind.
    """
    owner = actor.act_for(user_id) if user_id is not None or actor.user_id else None
    if owner is not None and storage_bytes:
        async with database.read() as tx:  # a picture costs more to look at than to refuse
            await _check_room(tx, owner, 1, storage_bytes)
    image = await _accepted(upload)
    with image.file:
        file = File(
            file_id=new_id("file"),
            user_id=owner,
            filename=safe_filename(upload.filename, image.content_type),
            content_type=image.content_type,
            size_bytes=image.size_bytes,
            width=image.width,
            height=image.height,
            sha256=image.sha256,
            created_at=utc_now(),
        )
        await blobs.put_file(original_key(file.file_id), image.file)
    try:
        async with database.write() as tx:
            if owner is not None:
                await users.insert_user(tx, owner, file.created_at)  # who counts alone from here
                await _check_room(tx, owner, file.size_bytes, storage_bytes)
            await files.insert_file(tx, file)
    except BaseException:
        # The record may be stored all the same, and no record may be without its bytes.
        with suppress(UnavailableError):
            await withdraw_files(database, blobs, [file])
        raise
    telemetry.file_accepted(file.size_bytes)
    return file


async def _accepted(upload: Upload) -> images.AcceptedImage:
    try:
        return await images.accept_image(upload.file)
    except OSError as error:  # where it is put aside there is no room
        raise UnavailableError("Files cannot be taken now.", code="files_unavailable") from error


async def _check_room(tx: db.Tx, user_id: str, more_bytes: int, storage_bytes: int) -> None:
    if storage_bytes and await files.count_bytes(tx, user_id) + more_bytes > storage_bytes:
        raise storage_exceeded(storage_bytes)


async def withdraw_files(database: db.Database, blobs: Blobs, stored: Sequence[File]) -> None:
    """Take back files that were stored for a request which was then refused.

    One that a message has nevertheless stays. What cannot be deleted now, upkeep finds later.
    """
    ids = [file.file_id for file in stored]
    async with database.write() as tx:
        await files.delete_unused(tx, ids)
        kept = await files.fetch_existing(tx, ids)
    await blobs.delete(key for file_id in ids if file_id not in kept for key in keys_of(file_id))


async def get_file(database: db.Database, file_id: str, actor: Actor | None) -> File:
    """Return the file's record, or raise NotFoundError. No actor: a signed link was checked."""
    async with database.read() as tx:
        file = await files.fetch_file(tx, file_id)
    if file is None or (actor is not None and not actor.may_act_for(file.user_id)):
        raise NotFoundError("There is no such file.", code="file_not_found")
    return file


async def get_thumbnail(blobs: Blobs, file: File, size: int) -> tuple[bytes, str]:
    """Return a thumbnail's bytes and content type; it is made at the first request and kept."""
    key = thumbnail_key(file.file_id, size)
    try:
        data = await blobs.get(key)
    except NotFoundError:
        data, _ = await images.make_thumbnail(await blobs.get(original_key(file.file_id)), size)
        with suppress(UnavailableError):  # a store that is full can still be read
            await blobs.put(key, data)
    return data, images.content_type_of(data)


async def open_file(blobs: Blobs, file: File, start: int, end: int) -> AsyncIterator[bytes]:
    """Return the file's bytes from `start` up to and without `end`, in bounded pieces.

    Raises NotFoundError now and not in the middle of an answer that has begun.
    """
    pieces = blobs.stream(original_key(file.file_id), start, end)
    first = await anext(pieces)

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_pieces()


async def zip_thread_files(
    database: db.Database, blobs: Blobs, actor: Actor, user_id: str, thread_id: str
) -> AsyncIterable[bytes]:
    """Return all files of a thread as a ZIP that is made while it is sent; each file once.

    Raises NotFoundError for the thread before the first byte.
    """
    user_id = actor.act_for(user_id)
    async with database.read() as tx:
        if await threads.fetch_thread(tx, thread_id, user_id=user_id) is None:
            raise NotFoundError("There is no such thread.", code="thread_not_found")
    return zip_stream(_members(database, blobs, thread_id))


async def _members(
    database: db.Database, blobs: Blobs, thread_id: str
) -> AsyncGenerator[Member, None]:
    names = UniqueNames()
    seen: set[str] = set()
    before: int | None = None
    while True:
        async with database.read() as tx:
            page = await messages.fetch_all_messages(
                tx, thread_id, before=before, limit=_PAGE, with_files=True
            )
            page = await messages.with_relations(tx, page)
        for file in (file for message in page for file in message.files):
            if file.file_id not in seen:
                seen.add(file.file_id)
                yield Member(
                    names.unique(file.filename),
                    file.created_at,
                    blobs.stream(original_key(file.file_id), 0, file.size_bytes),
                )
        if len(page) < _PAGE:
            return
        before = page[-1].message_id
