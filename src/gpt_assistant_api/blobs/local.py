"""Files on the local disk, read without a thread where the system has their bytes in memory."""

import os
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread


async def read_pieces(path: Path, places: Iterable[tuple[int, int]]) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from each start up to and without each end; fewer where the file ends.

    The file stays open meanwhile, and what is deleted can be read to its end.
    """
    with await to_thread.run_sync(open, path, "rb") as file:
        for start, end in places:
            piece = _remembered(file, start, end)
            if piece is None:
                piece = await to_thread.run_sync(_read, file, start, end)
            yield piece


def _remembered(file: BinaryIO, start: int, end: int) -> bytes | None:
    """Return bytes that are read without waiting for a disk, or None.

    Handing a piece to a thread and back takes more time than it takes to copy it.
    """
    if not hasattr(os, "RWF_NOWAIT"):
        return None
    buffer = bytearray(end - start)
    try:
        count = os.preadv(file.fileno(), [buffer], start, os.RWF_NOWAIT)
    except OSError:  # the first byte is on the disk, or this file system cannot tell
        return None
    return bytes(buffer) if count == len(buffer) else None


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)
