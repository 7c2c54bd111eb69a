"""What a container is taken apart into, and the bounded reader that all of them share.

The bytes of pixels stay in the file that they came in: what is in memory of an image is its pixels.
"""

import io
import re
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO

from gpt_assistant_api.images.bounds import check_bounds, corrupt

_BYTES_PER_READ = 64
_FREE_READS = 10_000
_WINDOW_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that are left where they are: those of a file from `start` up to and without `end`."""

    file: BinaryIO
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def read(self, count: int | None = None) -> bytes:
        """Return all the bytes, or the first few."""
        self.file.seek(self.start)
        return self.file.read(len(self) if count is None else min(count, len(self)))

    def without(self, count: int) -> "Span":
        """Return the bytes behind the first `count`."""
        return Span(self.file, min(self.start + count, self.end), self.end)

    def crc32(self, before: int) -> int:
        """Return the checksum that goes on from `before`."""
        self.file.seek(self.start)
        for at in range(self.start, self.end, _WINDOW_BYTES):
            before = zlib.crc32(self.file.read(min(_WINDOW_BYTES, self.end - at)), before)
        return before


Piece = bytes | Span


def joined(pieces: Iterable[Piece]) -> BinaryIO:
    """Return a file to read in which the pieces follow each other."""
    return io.BufferedReader(_Joined(pieces), _WINDOW_BYTES)


class _Joined(io.RawIOBase):
    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = [piece for piece in pieces if len(piece)]
        self._ends = list(accumulate(map(len, self._pieces)))
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        number = bisect_right(self._ends, self._position)
        if number == len(self._pieces):
            return 0
        piece, left = self._pieces[number], self._ends[number] - self._position
        at, count = len(piece) - left, min(left, len(buffer))
        data = piece[at : at + count] if isinstance(piece, bytes) else piece.without(at).read(count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    @property
    def _size(self) -> int:
        return self._ends[-1] if self._ends else 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture as a complete file of its format that holds nothing but pixels, in pieces.

    `place` is what the container says of it (where and how long it is shown), in the container's
    own form; a still image has none.
    """

    width: int
    height: int
    pieces: Sequence[Piece]
    place: bytes = b""


@dataclass(frozen=True, slots=True)
class Parts:
    """An image that was taken apart: complete, and within its bounds.

    `head` is what an animation says of itself as a whole, in the container's own form.
    """

    width: int
    height: int
    frames: Sequence[Frame]
    head: bytes = b""
    exif: bytes = b""
    profile: bytes = b""

    def __post_init__(self) -> None:
        check_bounds(self.width, self.height, len(self.frames))

    @property
    def still(self) -> Frame | None:
        """The only picture of an image that is no animation."""
        return self.frames[0] if len(self.frames) == 1 and not self.frames[0].place else None


class Reader:
    """Reads a file forwards and refuses, as incomplete, what ends too early.

    The number of reads is bounded by the number of bytes: an image made of a million tiny pieces
    is an attack on whoever walks over them.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._position = span.start
        self._window = b""
        self._window_start = span.start
        self._reads_left = _FREE_READS + len(span) // _BYTES_PER_READ

    @property
    def at_end(self) -> bool:
        """Whether everything was read."""
        return self._position >= self._span.end

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        passed = self.pass_over(count)
        at = passed.start - self._window_start
        if at + count > len(self._window):
            if count > _WINDOW_BYTES:
                return passed.read()
            self._move_window(passed.start)
            at = 0
        return self._window[at : at + count]

    def pass_over(self, count: int) -> Span:
        """Return the next `count` bytes unread."""
        start, end = self._position, self._position + count
        if count < 0 or end > self._span.end:
            raise corrupt()
        self._reads_left -= 1
        if self._reads_left < 0:
            raise corrupt("is made of too many pieces")
        self._position = end
        return Span(self._span.file, start, end)

    def pass_until(self, pattern: re.Pattern[bytes]) -> Span:
        """Return the bytes before the next match of `pattern`, two bytes, which is read next."""
        at = self._position
        while (match := pattern.search(self._window, at - self._window_start)) is None:
            window_end = self._window_start + len(self._window)
            if window_end >= self._span.end:
                raise corrupt()
            at = max(at, window_end - 1)  # where the first byte of a match may be
            self._move_window(at)
        return self.pass_over(self._window_start + match.start() - self._position)

    def passed_since(self, span: Span) -> Span:
        """Return what was read from the start of `span` up to here."""
        return Span(self._span.file, span.start, self._position)

    def _move_window(self, start: int) -> None:
        self._window_start = start
        self._window = Span(self._span.file, start, self._span.end).read(_WINDOW_BYTES)


def whole(file: BinaryIO) -> Span:
    """Return all bytes of a file."""
    return Span(file, 0, file.seek(0, io.SEEK_END))


def in_memory(data: bytes) -> Span:
    """Return bytes as those of a file."""
    return Span(io.BytesIO(data), 0, len(data))
