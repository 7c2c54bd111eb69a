"""Files from one store to another, each checked against its record.

Thumbnails stay behind: they are made again when they are asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Final, Literal

from gpt_assistant_api.blobs import Blobs, original_key
from gpt_assistant_api.domain.errors import NotFoundError
from gpt_assistant_api.domain.files import File

State = Literal["whole", "missing", "damaged"]

_AT_ONCE: Final = 4


async def copy_files(source: Blobs, target: Blobs, files: Sequence[File]) -> list[State]:
    """Copy what the target does not have in its full length; return the state of each.

    A file that is not what its record says is copied all the same: nothing better is left of it.
    """

    async def copy(file: File) -> State:
        key = original_key(file.file_id)
        if await target.size(key) == file.size_bytes:
            return "whole"
        try:
            data = await source.get(key)
        except NotFoundError:
            return "missing"
        await target.put(key, data)
        return _state(file, data)

    return await _for_each(files, copy)


async def examine_files(blobs: Blobs, files: Sequence[File]) -> list[State]:
    """Read each file to its end and return its state."""

    async def examine(file: File) -> State:
        try:
            return _state(file, await blobs.get(original_key(file.file_id)))
        except NotFoundError:
            return "missing"

    return await _for_each(files, examine)


def _state(file: File, data: bytes) -> State:
    return "whole" if sha256(data).hexdigest() == file.sha256 else "damaged"


async def _for_each(
    files: Sequence[File], action: Callable[[File], Awaitable[State]]
) -> list[State]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def take_turn(file: File) -> State:
        async with turns:
            return await action(file)

    return await asyncio.gather(*map(take_turn, files))
