"""Images: what is accepted as one, and the smaller forms of it.

An upload is recognised by its bytes, its container taken apart within bounds (a module for each
format), every frame decoded wholly and encoded anew by Pillow (`pixels`), and the container written
again around that. So nothing of an upload is stored but pixels, their places and their times.

All work runs in threads of its own, few at a time: one image may take 200 MB while it is decoded.
Threads, since Pillow lets others run while it works and a pool of processes would cost every start
of the program; should a decoder crash, the process does, and its runs are taken up again.
"""

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from gpt_assistant_api.images import accept, smaller
from gpt_assistant_api.images.accept import AcceptedImage, content_type_of

__all__ = ["AcceptedImage", "accept_image", "content_type_of", "for_model", "make_thumbnail"]

_AT_A_TIME = 2

_limiter_of_loop: RunVar[CapacityLimiter] = RunVar("images")


async def accept_image(data: bytes) -> AcceptedImage:
    """Return the image as it is to be stored: upright, without metadata, in the format it had.

    Raises UnsupportedMediaError for what is not JPEG, PNG, GIF or WEBP, whatever it is called, and
    InvalidError for what is damaged, incomplete, or more than `bounds` allows.
    """
    return await to_thread.run_sync(accept.accept, data, limiter=_limiter())


async def make_thumbnail(data: bytes, size: int) -> tuple[bytes, str]:
    """Return a stored image within `size` pixels, and its content type.

    `size` is one of THUMBNAIL_SIZES, for the longest side; an image is never enlarged, and of an
    animation the first frame is shown.
    """
    return await to_thread.run_sync(smaller.thumbnail, data, size, limiter=_limiter())


async def for_model(data: bytes, content_type: str) -> tuple[bytes, str]:
    """Return a stored image in a size and form that models take, and its content type.

    What is small and plain already is returned as it is.
    """
    return await to_thread.run_sync(smaller.for_model, data, content_type, limiter=_limiter())


def _limiter() -> CapacityLimiter:
    limiter = _limiter_of_loop.get(None)
    if limiter is None:
        limiter = CapacityLimiter(_AT_A_TIME)
        _limiter_of_loop.set(limiter)
    return limiter
