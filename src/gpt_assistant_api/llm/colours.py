"""The names of the colours in a picture, for the assistant that has no model to look at it."""

import colorsys
import io
from collections import Counter

from PIL import Image

_SIDE = 32
_SHARE = 0.1
_MOST = 3
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
# Upper ends on the colour circle, in degrees.
_HUES = (
    (15, "red"),
    (40, "orange"),
    (68, "yellow"),
    (165, "green"),
    (195, "cyan"),
    (260, "blue"),
    (315, "purple"),
    (340, "pink"),
    (360, "red"),
)


def main_colours(data: bytes) -> str:
    """Return `mainly ...` with up to three colours, most of it first; blocks while it decodes."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            image.draft("RGB", (_SIDE, _SIDE))
            small = image.convert("RGBA").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, RuntimeWarning):
        return "colours unreadable"
    return _described(small)


def _described(small: Image.Image) -> str:
    names: Counter[str] = Counter()
    for count, pixel in small.getcolors(_SIDE * _SIDE) or ():
        if isinstance(pixel, tuple):
            red, green, blue, alpha = pixel
            names[_name(red, green, blue) if alpha >= 128 else "transparent"] += count
    ranked = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    main = [name for name, count in ranked if count >= _SHARE * names.total()][:_MOST]
    main = main or [name for name, _ in ranked[:1]]
    *first, last = main
    return f"mainly {', '.join(first)} and {last}" if first else f"mainly {last}"


def _name(red: int, green: int, blue: int) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.2:
        return "black"
    if saturation < 0.15:
        return "white" if value > 0.85 else "grey"
    name = next(name for end, name in _HUES if hue * 360 <= end)
    if value < 0.7 and (name == "orange" or (name == "red" and saturation < 0.85)):
        return "brown"
    if name == "red" and saturation < 0.55 and value > 0.7:
        return "pink"
    return name
