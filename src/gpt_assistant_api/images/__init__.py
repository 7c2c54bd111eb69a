"""Images: what is accepted as one, and the smaller forms of it.

An upload is recognised by its bytes, its container taken apart within bounds (a module for each
format), every frame decoded wholly and encoded anew by Pillow (`pixels`), and the container written
again around that. So nothing of an upload is stored but pixels, their places and their times.

All work runs in threads of its own, two at a time and of large images one: its pixels may take
200 MB while it is decoded, and of what waits for its turn nothing is in memory. Threads, since
Pillow lets others run while it works and a pool of processes would cost every start of the program;
should a decoder crash, the process does, and its runs are taken up again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from gpt_assistant_api.images import accept, smaller
from gpt_assistant_api.images.accept import AcceptedImage, content_type_of

__all__ = ["AcceptedImage", "accept_image", "content_type_of", "for_model", "make_thumbnail"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Turns:
    any: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))
    large: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))


_turns_of_loop: RunVar[_Turns] = RunVar("images")


async def accept_image(file: BinaryIO) -> AcceptedImage:
    """Return the image as it is to be stored: upright, without metadata, in the format it had.

    Raises UnsupportedMediaError for what is not JPEG, PNG, GIF or WEBP, whatever it is called, and
    InvalidError for what is damaged, incomplete, or more than `bounds` allows.
    """
    apart = await _apart(accept.take_apart, file)
    if not apart.is_large:
        return await _apart(accept.rebuild, apart)
    async with _turns().large:
        return await _apart(accept.rebuild, apart)


async def make_thumbnail(data: bytes, size: int) -> tuple[bytes, str]:
    """Return a stored image within `size` pixels, and its content type.

    `size` is one of THUMBNAIL_SIZES, for the longest side; an image is never enlarged, and of an
    animation the first frame is shown.
    """
    return await _apart(smaller.thumbnail, data, size)


async def for_model(data: bytes, content_type: str) -> tuple[bytes, str]:
    """Return a stored image in a size and form that models take, and its content type.

    What is small and plain already is returned as it is.
    """
    return await _apart(smaller.for_model, data, content_type)


async def _apart(work: Callable[..., Result], *args: object) -> Result:
    return await to_thread.run_sync(work, *args, limiter=_turns().any)


def _turns() -> _Turns:
    turns = _turns_of_loop.get(None)
    if turns is None:
        turns = _Turns()
        _turns_of_loop.set(turns)
    return turns
