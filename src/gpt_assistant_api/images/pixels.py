"""Pixels: decoded wholly by Pillow, and encoded anew.

The decoders are called by name, so that no other one can be reached, and see only stills that were
taken out of their containers: no text, no profile, no second picture.
"""

from collections.abc import Callable
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from gpt_assistant_api.images.bounds import LARGE_PIXELS, corrupt
from gpt_assistant_api.images.parts import Frame, joined
from gpt_assistant_api.images.room import make_room
from gpt_assistant_api.images.webp import is_lossless

_DECODERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
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
    with TemporaryFile() as file:
        encode(image, file, content_type, like=frame, decoded=image)
        file.seek(0)
        return file.read()


def decode(frame: Frame, content_type: str) -> ImageFile.ImageFile:
    """Return all pixels of a frame, or refuse it."""
    image = open_image(joined(frame.pieces), content_type)
    if image.size != (frame.width, frame.height):
        raise corrupt()
    load(image)
    return image


def open_image(file: BinaryIO, content_type: str) -> ImageFile.ImageFile:
    """Return an image that is not decoded yet."""
    try:
        return _DECODERS[content_type](file)
    except MemoryError:
        raise
    except Exception:  # what decoders raise for bad input is an open set
        raise corrupt() from None


def load(image: Image.Image) -> None:
    """Decode the image, or the first frame of it, to the last pixel."""
    if image.width * image.height > LARGE_PIXELS:
        make_room()
    try:
        image.load()
    except MemoryError:
        raise
    except Exception:  # as above
        raise corrupt() from None


def encode(
    image: Image.Image,
    file: BinaryIO,
    content_type: str,
    *,
    like: Frame,
    decoded: ImageFile.ImageFile,
) -> None:
    """Write `image` in its own format, as near to the frame that it comes from as can be."""
    options: dict[str, Any] = {}
    if isinstance(decoded, JpegImageFile):
        tables = [decoded.quantization[number] for number in sorted(decoded.quantization)]
        options = {"qtables": tables, "subsampling": get_sampling(decoded)}
    elif content_type == "image/webp":
        # The quality of a lossless one is how much work is put into it.
        lossless = is_lossless(like)
        options = {"lossless": lossless, "quality": 20 if lossless else 90}
    elif content_type == "image/gif":
        # The frames' colours and places are written anew beside these pixels: no other order.
        options = {"optimize": False, "interlace": 0}
    save(image, file, content_type, **options)


def save(image: Image.Image, file: BinaryIO, content_type: str, **options: Any) -> None:
    """Write the image in a format, with Pillow's options for it.

    Into a file of the system Pillow writes by itself, while other threads run; for one in memory it
    is called for every piece and holds them up meanwhile.
    """
    kind = content_type.removeprefix("image/")
    image.save(file, kind, **_EFFORT.get(content_type, {}), **options)
