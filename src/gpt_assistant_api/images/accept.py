"""What becomes of an upload: it is taken apart, decoded, and written anew."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import BinaryIO

from gpt_assistant_api.images import gif, jpeg, pixels, png, webp
from gpt_assistant_api.images.bounds import LARGE_PIXELS, unsupported
from gpt_assistant_api.images.colours import in_srgb
from gpt_assistant_api.images.orientation import turned_upright
from gpt_assistant_api.images.parts import Parts, Span, whole


@dataclass(frozen=True, slots=True)
class AcceptedImage:
    """An image as it is stored: rebuilt from its pixels, upright, without metadata.

    Whoever gets it closes `file`, which nobody else can find. `sha256` is of its bytes, in hex.
    """

    file: BinaryIO
    size_bytes: int
    content_type: str
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Container:
    take_apart: Callable[[Span], Parts]
    put_together: Callable[[Parts, Sequence[bytes]], bytes]


_FIRST_BYTES = 16
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


@dataclass(frozen=True, slots=True)
class Apart:
    """An upload of a kind that is accepted, not decoded yet."""

    content_type: str
    parts: Parts

    @property
    def is_large(self) -> bool:
        """Whether its pixels take megabytes."""
        return self.parts.width * self.parts.height > LARGE_PIXELS


def take_apart(file: BinaryIO) -> Apart:
    """Return what the image in `file` is made of; blocks while it is read.

    Raises UnsupportedMediaError for other kinds, InvalidError for what is damaged or too much.
    """
    data = whole(file)
    content_type = content_type_of(data.read(_FIRST_BYTES))
    return Apart(content_type, _CONTAINERS[content_type].take_apart(data))


def rebuild(apart: Apart) -> AcceptedImage:
    """Return the image as it is stored; blocks while it is decoded and encoded.

    Raises InvalidError for what is damaged.
    """
    file = TemporaryFile()  # noqa: SIM115 - it is returned
    try:
        width, height = _write(file, apart)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return AcceptedImage(file, size_bytes, apart.content_type, width, height, digest)


def _write(file: BinaryIO, apart: Apart) -> tuple[int, int]:
    """Write the image anew, and return its size in pixels."""
    content_type, parts = apart.content_type, apart.parts
    if parts.still:
        decoded = pixels.decode(parts.still, content_type)
        image = turned_upright(in_srgb(decoded, parts.profile), parts.exif)
        pixels.encode(image, file, content_type, like=parts.still, decoded=decoded)
        return image.size
    stills = [pixels.recoded(frame, content_type) for frame in parts.frames]
    file.write(_CONTAINERS[content_type].put_together(parts, stills))
    return parts.width, parts.height
