"""What a container is taken apart into, and the bounded reader that all of them share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gpt_assistant_api.images.bounds import check_bounds, corrupt

_BYTES_PER_READ = 64
_FREE_READS = 10_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture as a complete file of its format that holds nothing but pixels.

    `place` is what the container says of it (where and how long it is shown), in the container's
    own form; a still image has none.
    """

    width: int
    height: int
    data: bytes
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
    """Reads bytes forwards and refuses, as incomplete, what ends too early.

    The number of reads is bounded by the number of bytes: an image made of a million tiny pieces
    is an attack on whoever walks over them.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._reads_left = _FREE_READS + len(data) // _BYTES_PER_READ

    @property
    def at_end(self) -> bool:
        """Whether everything was read."""
        return self._position >= len(self._data)

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        end = self._position + count
        if count < 0 or end > len(self._data):
            raise corrupt()
        self._count_read()
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def take_until(self, pattern: re.Pattern[bytes]) -> bytes:
        """Return the bytes before the next match of `pattern`, which is read next."""
        match = pattern.search(self._data, self._position)
        if match is None:
            raise corrupt()
        self._count_read()
        taken = self._data[self._position : match.start()]
        self._position = match.start()
        return taken

    def _count_read(self) -> None:
        self._reads_left -= 1
        if self._reads_left < 0:
            raise corrupt("is made of too many pieces")
