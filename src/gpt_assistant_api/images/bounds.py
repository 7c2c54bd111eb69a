"""What an image may cost, and the refusals of images: fixed texts, never a decoder's own words."""

from gpt_assistant_api.domain.errors import InvalidError, UnsupportedMediaError

# Beyond this, the pixels of an image take more memory than everything around them.
LARGE_PIXELS = 1_000_000
MAX_PIXELS = 50_000_000
# What JPEG and GIF can say; a PNG could be one pixel wide and fifty million high.
MAX_SIDE = 65_535
MAX_FRAMES = 500
MAX_PIXELS_OF_ALL_FRAMES = 100_000_000
MAX_PROFILE_BYTES = 4 * 1024 * 1024
# Every pass over a progressive JPEG visits all its blocks, however few bytes it has.
MAX_SCANS = 64


def unsupported() -> UnsupportedMediaError:
    """Return the refusal of bytes that are no image of the accepted kinds."""
    return UnsupportedMediaError(
        "Only JPEG, PNG, GIF and WEBP images are accepted.", code="file_unsupported"
    )


def corrupt(reason: str = "is damaged or incomplete") -> InvalidError:
    """Return the refusal of an image of an accepted kind."""
    return InvalidError(f"The image {reason}.", code="file_corrupt")


def check_bounds(width: int, height: int, frames: int = 1) -> None:
    """Refuse an image that would cost too much to decode, or that has no pixels."""
    if width < 1 or height < 1 or frames < 1:
        raise corrupt("has no pixels")
    if width * height > MAX_PIXELS:
        raise corrupt(f"has more than {MAX_PIXELS // 1_000_000} megapixels")
    if max(width, height) > MAX_SIDE:
        raise corrupt(f"is more than {MAX_SIDE} pixels long")
    if frames > MAX_FRAMES:
        raise corrupt(f"has more than {MAX_FRAMES} frames")
    if width * height * frames > MAX_PIXELS_OF_ALL_FRAMES:
        limit = MAX_PIXELS_OF_ALL_FRAMES // 1_000_000
        raise corrupt(f"has more than {limit} megapixels in all its frames")
