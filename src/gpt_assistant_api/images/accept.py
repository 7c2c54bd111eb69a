"""What becomes of an upload: it is taken apart, decoded, and written anew."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpt_assistant_api.images import gif, jpeg, pixels, png, webp
from gpt_assistant_api.images.bounds import unsupported
from gpt_assistant_api.images.colours import in_srgb
from gpt_assistant_api.images.orientation import turned_upright
from gpt_assistant_api.images.parts import Frame, Parts


@dataclass(frozen=True, slots=True)
class AcceptedImage:
    """An image as it is stored: rebuilt from its pixels, upright, without metadata.

    `sha256` is of `data`, in hex.
    """

    data: bytes
    content_type: str
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Container:
    take_apart: Callable[[bytes], Parts]
    put_together: Callable[[Parts, Sequence[bytes]], bytes]


_CONTAINERS = {
    "image/jpeg": _Container(jpeg.take_apart, jpeg.put_together),
    "image/png": _Container(png.take_apart, png.put_together),
    "image/gif": _Container(gif.take_apart, gif.put_together),
    "image/webp": _Container(webp.take_apart, webp.put_together),
}


def content_type_of(data: bytes) -> str:
    """Return the kind of an image by its first bytes, or raise UnsupportedMediaError."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(png.SIGNATURE):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    raise unsupported()


def accept(data: bytes) -> AcceptedImage:
    """Return the image that `data` is; blocks while it is decoded and encoded.

    Raises UnsupportedMediaError for other kinds, InvalidError for what is damaged or too much.
    """
    content_type = content_type_of(data)
    container = _CONTAINERS[content_type]
    parts = container.take_apart(data)
    if parts.still:
        return _accept_still(parts, parts.still, content_type)
    stills = [pixels.recoded(frame, content_type) for frame in parts.frames]
    rebuilt = container.put_together(parts, stills)
    return _accepted(rebuilt, content_type, parts.width, parts.height)


def _accept_still(parts: Parts, frame: Frame, content_type: str) -> AcceptedImage:
    decoded = pixels.decode(frame, content_type)
    image = turned_upright(in_srgb(decoded, parts.profile), parts.exif)
    data = pixels.encode(image, content_type, like=frame, decoded=decoded)
    return _accepted(data, content_type, *image.size)


def _accepted(data: bytes, content_type: str, width: int, height: int) -> AcceptedImage:
    return AcceptedImage(data, content_type, width, height, hashlib.sha256(data).hexdigest())
