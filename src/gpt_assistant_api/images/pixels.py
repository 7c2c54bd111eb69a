"""Pixels: decoded wholly by Pillow, and encoded anew.

The decoders are called by name, so that no other one can be reached, and see only stills that were
taken out of their containers: no text, no profile, no second picture.
"""

import io
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from gpt_assistant_api.images.bounds import corrupt
from gpt_assistant_api.images.parts import Frame
from gpt_assistant_api.images.webp import is_lossless

_DECODERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "image/jpeg": JpegImageFile,
    "image/png": PngImageFile,
    "image/gif": GifImageFile,
    "image/webp": WebPImageFile,
}
# Pillow's own defaults take up to four times as long for a few per cent.
_EFFORT = {"image/png": {"compress_level": 4}, "image/webp": {"method": 2}}


def recoded(frame: Frame, content_type: str) -> bytes:
    """Return the frame as Pillow writes it: nothing that was hidden between pixels is left."""
    image = decode(frame, content_type)
    return encode(image, content_type, like=frame, decoded=image)


def decode(frame: Frame, content_type: str) -> ImageFile.ImageFile:
    """Return all pixels of a frame, or refuse it."""
    image = open_image(frame.data, content_type)
    if image.size != (frame.width, frame.height):
        raise corrupt()
    load(image)
    return image


def open_image(data: bytes, content_type: str) -> ImageFile.ImageFile:
    """Return an image that is not decoded yet."""
    try:
        return _DECODERS[content_type](io.BytesIO(data))
    except MemoryError:
        raise
    except Exception:  # what decoders raise for bad input is an open set
        raise corrupt() from None


def load(image: Image.Image) -> None:
    """Decode the image, or the first frame of it, to the last pixel."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception:  # as above
        raise corrupt() from None


def encode(
    image: Image.Image, content_type: str, *, like: Frame, decoded: ImageFile.ImageFile
) -> bytes:
    """Return `image` in its own format, as near to the frame that it comes from as can be."""
    if isinstance(decoded, JpegImageFile):
        tables = [decoded.quantization[number] for number in sorted(decoded.quantization)]
        return save(image, content_type, qtables=tables, subsampling=get_sampling(decoded))
    if content_type == "image/webp":
        # The quality of a lossless one is how much work is put into it.
        lossless = is_lossless(like.data)
        return save(image, content_type, lossless=lossless, quality=20 if lossless else 90)
    if content_type == "image/gif":
        # The frames' colours and places are written anew beside these pixels: no other order.
        return save(image, content_type, optimize=False, interlace=0)
    return save(image, content_type)


def save(image: Image.Image, content_type: str, **options: Any) -> bytes:
    """Return the image in a format, with Pillow's options for it."""
    buffer = io.BytesIO()
    image.save(
        buffer, content_type.removeprefix("image/"), **_EFFORT.get(content_type, {}), **options
    )
    return buffer.getvalue()
