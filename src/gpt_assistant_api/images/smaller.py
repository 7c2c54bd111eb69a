"""Smaller forms of a stored image: what people look at in lists, and what models look at."""

import io
from typing import Any

from PIL import Image

from gpt_assistant_api.domain.files import THUMBNAIL_SIZES
from gpt_assistant_api.images import pixels
from gpt_assistant_api.images.accept import content_type_of
from gpt_assistant_api.images.colours import plain

# Beyond this, models scale an image down themselves.
MODEL_LONGEST_SIDE = 2048
MODEL_SHORTEST_SIDE = 768
# What every model server takes as it is.
_PLAIN_MODES = frozenset({"1", "L", "P", "LA", "RGB", "RGBA"})


def thumbnail(data: bytes, size: int) -> tuple[bytes, str]:
    """Return the first frame within `size` pixels, and its content type; blocks."""
    if size not in THUMBNAIL_SIZES:
        raise ValueError(f"{size} is not one of THUMBNAIL_SIZES")
    image = pixels.open_image(io.BytesIO(data), content_type_of(data))
    small = _scaled(image, min(1, size / max(image.size)))
    return _saved(small, "image/webp" if small.mode == "RGBA" else "image/jpeg", quality=80)


def for_model(data: bytes, content_type: str) -> tuple[bytes, str]:
    """Return the image as models take it, and its content type; as it is where it fits; blocks."""
    image = pixels.open_image(io.BytesIO(data), content_type)
    longest, shortest = max(image.size), min(image.size)
    scale = min(1, MODEL_LONGEST_SIDE / longest, MODEL_SHORTEST_SIDE / shortest)
    if scale == 1 and image.mode in _PLAIN_MODES and not getattr(image, "is_animated", False):
        return data, content_type
    scaled = _scaled(image, scale)
    if scaled.mode == "RGBA":
        return _saved(scaled, "image/png")
    return _saved(scaled, "image/jpeg", quality=85)


def _saved(image: Image.Image, content_type: str, **options: Any) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    pixels.save(image, buffer, content_type, **options)
    return buffer.getvalue(), content_type


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    """Return the first frame of an image that is not decoded yet as RGB or RGBA."""
    width, height = (max(1, round(side * scale)) for side in image.size)
    if scale < 1:
        image.draft("RGB", (width, height))
    pixels.load(image)
    image = plain(image)
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2)
