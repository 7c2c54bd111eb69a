"""Stored bytes: files and their thumbnails, on the local disk or in an object store alike.

Whether a file exists is for the database to say. Bytes are written before the row that names them
and deleted after it, so what a crash leaves behind is at most bytes without a row.
"""

import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import obstore
from anyio import to_thread
from obstore.exceptions import BaseError

from gpt_assistant_api.blobs import durable
from gpt_assistant_api.blobs.keys import (
    file_id_of,
    is_key,
    keys_of,
    original_key,
    thumbnail_key,
)
from gpt_assistant_api.blobs.local import read_pieces
from gpt_assistant_api.blobs.stores import Store, explained, open_store
from gpt_assistant_api.domain.errors import NotFoundError, UnavailableError
from gpt_assistant_api.domain.ids import new_id

__all__ = [
    "PIECE_BYTES",
    "Blobs",
    "file_id_of",
    "keys_of",
    "open_blobs",
    "original_key",
    "thumbnail_key",
]

PIECE_BYTES = 256 * 1024


def open_blobs(url: str) -> "Blobs":
    """Open the store at `file:///path`, `memory:///` or `s3://bucket/prefix?endpoint=...`.

    Raises ConfigurationError. Whether the store can be written, `Blobs.check` says.
    """
    return Blobs(*open_store(url))


class Blobs:
    """A store of bytes under keys from `original_key` and `thumbnail_key`; others are ValueErrors.

    Every method raises UnavailableError when the store fails.
    """

    def __init__(self, store: Store, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    async def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, wholly or not at all; on return it outlasts a power cut."""
        with _refusing(key):
            if self._folder is None:
                await obstore.put_async(self._store, key, data, use_multipart=False)
            else:
                await to_thread.run_sync(durable.write, self._folder / key, io.BytesIO(data))

    async def put_file(self, key: str, file: BinaryIO) -> None:
        """Store what is left to read of `file` as `put` does; a folder takes it in pieces."""
        with _refusing(key):
            if self._folder is None:
                await self.put(key, await to_thread.run_sync(file.read))
            else:
                await to_thread.run_sync(durable.write, self._folder / key, file)

    async def get(self, key: str) -> bytes:
        """Return all the bytes, or raise NotFoundError."""
        with _reading(key):
            result = await obstore.get_async(self._store, key)
            return (await result.bytes_async()).to_bytes()

    async def stream(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to and without `end`, in pieces of PIECE_BYTES.

        From a store each piece is a request of its own: a slow reader holds no connection. Raises
        NotFoundError at the first piece, or later when the blob is deleted meanwhile.
        """
        places = [
            (position, min(position + PIECE_BYTES, end))
            for position in range(start, end, PIECE_BYTES)
        ]
        async with aclosing(self._pieces(key, places)) as pieces:
            for piece_start, piece_end in places:
                with _reading(key):
                    piece = await anext(pieces)
                if len(piece) != piece_end - piece_start:
                    raise _unavailable()
                yield piece

    def _pieces(self, key: str, places: Sequence[tuple[int, int]]) -> AsyncGenerator[bytes, None]:
        if self._folder is not None:
            return read_pieces(self._folder / key, places)
        return self._ranges(key, places)

    async def _ranges(
        self, key: str, places: Sequence[tuple[int, int]]
    ) -> AsyncGenerator[bytes, None]:
        for start, end in places:
            piece = await obstore.get_range_async(self._store, key, start=start, end=end)
            yield piece.to_bytes()

    async def size(self, key: str) -> int | None:
        """Return how many bytes there are under `key`; None where nothing is."""
        try:
            with _reading(key):
                return (await obstore.head_async(self._store, key))["size"]
        except NotFoundError:
            return None

    async def exists(self, key: str) -> bool:
        """Tell whether there are bytes under `key`."""
        return await self.size(key) is not None

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete what is under `keys`; a key that has nothing is no error."""
        wanted = list(keys)
        with _refusing(*wanted):
            try:
                if wanted:
                    await obstore.delete_async(self._store, wanted)
            except FileNotFoundError:  # some stores then stop halfway
                for key in wanted:
                    with suppress(FileNotFoundError):
                        await obstore.delete_async(self._store, key)

    async def list_older(self, prefix: str, older_than: datetime) -> AsyncIterator[str]:
        """Yield the keys in the folder `prefix` (everywhere for "") last written before a moment.

        What others have put into the store is listed, too: `file_id_of` tells whose a key is.
        """
        pages = obstore.list(self._store, prefix or None, chunk_size=100)
        while True:
            with _refusing():
                page = await anext(aiter(pages), None)
            if page is None:
                return
            for entry in page:
                if entry["last_modified"] < older_than:
                    yield entry["path"]

    async def examine(self) -> None:
        """Check, and raise ConfigurationError where waiting will not help."""
        try:
            await self.check()
        except UnavailableError as refusal:
            raise explained(refusal.__cause__) or refusal from refusal.__cause__

    async def check(self) -> None:
        """Write and delete a blob, or raise UnavailableError."""
        key = original_key(new_id("file"))
        await self.put(key, b"Can this be written?")
        await self.delete([key])


@contextmanager
def _refusing(*keys: str) -> Iterator[None]:
    """Say in our words what goes wrong with the store; it names paths and addresses."""
    if not all(map(is_key, keys)):
        raise ValueError("not a key of a blob")
    try:
        yield
    except (BaseError, OSError) as error:
        raise _unavailable() from error


@contextmanager
def _reading(key: str) -> Iterator[None]:
    """Say also that nothing is there; while writing, that is trouble like any other."""
    with _refusing(key):
        try:
            yield
        except FileNotFoundError:
            raise NotFoundError("There are no such bytes.", code="file_not_found") from None


def _unavailable() -> UnavailableError:
    return UnavailableError("The files cannot be reached now.", code="files_unavailable")
