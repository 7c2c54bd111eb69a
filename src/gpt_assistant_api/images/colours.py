"""Colours: those of a profile made those that everybody expects, and odd modes made plain ones."""

import io

from PIL import Image, ImageCms

_CONVERTIBLE = {"RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB"}


def in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the image in the colours that are meant where no profile is given.

    A profile that cannot be used is ignored, and so are those of greys and palettes.
    """
    mode = _CONVERTIBLE.get(image.mode)
    if mode is None or not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(source).startswith("sRGB"):
            return image
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if converted is None:
        return image
    converted.info.pop("icc_profile", None)
    return converted


def plain(image: Image.Image) -> Image.Image:
    """Return the image as RGB, or as RGBA where something of it can be seen through."""
    if image.mode == "I;16":
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return image.convert("RGB") if image.getextrema()[-1] == (255, 255) else image
