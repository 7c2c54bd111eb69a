"""ZIP archives that are made while they are sent."""

import stat
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_zip import AsyncMemberFile

# Each piece is a way to a thread and back.
_PIECE_BYTES = 256 * 1024
_MODE = stat.S_IFREG | 0o644


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive: a safe relative name, its time, and its bytes when they are due."""

    name: str
    modified_at: datetime
    data: AsyncIterable[bytes]


def zip_stream(members: AsyncIterable[Member]) -> AsyncIterable[bytes]:
    """Return the archive in pieces; nothing is held longer than one piece of one member."""
    # Brings ciphers along, which most starts never need.
    from stream_zip import async_stream_zip  # noqa: PLC0415

    return async_stream_zip(_entries(members), chunk_size=_PIECE_BYTES, get_compressobj=_stored)


def _stored() -> "zlib._Compress":
    """Images are compressed already: trying again costs time and gives nothing."""
    return zlib.compressobj(level=0, wbits=-zlib.MAX_WBITS)


async def _entries(members: AsyncIterable[Member]) -> "AsyncIterator[AsyncMemberFile]":
    from stream_zip import ZIP_64  # noqa: PLC0415 - as above

    async for member in members:
        yield member.name, member.modified_at, _MODE, ZIP_64, member.data
