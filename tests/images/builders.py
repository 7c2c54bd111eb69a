"""Images of every kind, made here: nothing is downloaded."""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from gpt_assistant_api import images
from gpt_assistant_api.images.accept import AcceptedImage, rebuild, take_apart

GPS = b"52.5200 N, 13.4050 E"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><exif:GPSLatitude>' + GPS + b"</exif:GPSLatitude>"


@dataclass(frozen=True)
class Accepted:
    """An accepted image with its bytes in memory."""

    data: bytes
    content_type: str
    width: int
    height: int
    sha256: str


async def accept_image(data: bytes) -> Accepted:
    """Accept an image as an upload is accepted."""
    return _read(await images.accept_image(io.BytesIO(data)))


def accept(data: bytes) -> Accepted:
    """Accept an image here and now."""
    return _read(rebuild(take_apart(io.BytesIO(data))))


def _read(image: AcceptedImage) -> Accepted:
    with image.file as file:
        data = file.read()
    assert len(data) == image.size_bytes
    return Accepted(data, image.content_type, image.width, image.height, image.sha256)


def make_picture(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Draw a picture that looks different from every side."""
    width, height = size
    picture = Image.new("RGB", size, "white")
    picture.paste("red", (0, 0, width // 2, height // 2))
    picture.paste("blue", (width // 2, height // 2, width, height))
    picture.paste("green", (0, height // 2, width // 2, height))
    if mode == "I;16":
        grey = Image.new(mode, size)
        grey.putdata([(x * 997 + y * 31) % 65_536 for y in range(height) for x in range(width)])
        return grey
    if mode in {"LA", "RGBA"}:
        picture.putalpha(Image.linear_gradient("L").resize(size))
    return picture.convert(mode)


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(data: bytes) -> Image.Image:
    """Open an image as anybody would."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def make_frames(count: int = 3, mode: str = "RGBA") -> list[Image.Image]:
    """Draw frames that differ, with things to see through where the mode allows it."""
    frames = []
    for number in range(count):
        frame = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
        frame.paste((255, 40 * number, 0, 255), (4 * number, 2, 4 * number + 12, 20))
        frames.append(frame.convert(mode))
    return frames


def animate(kind: str, frames: Sequence[Image.Image], **options: Any) -> bytes:
    """Return the frames as an animation of 100, 110, 120 ... milliseconds that loops 3 times."""
    durations = [100 + 10 * number for number in range(len(frames))]
    return encode(
        frames[0],
        kind,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=3,
        **options,
    )


def png_chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """Return the PNG with chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def jpeg_segment(code: int, body: bytes) -> bytes:
    """Return a JPEG segment."""
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


def exif(orientation: int = 1) -> bytes:
    """Return EXIF data with an orientation and a position."""
    data = Image.Exif()
    data[0x0112] = orientation
    data[0x010E] = "Taken at " + GPS.decode()
    data.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return data.tobytes()


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WEBP file of chunks."""
    body = b"WEBP"
    for name, content in chunks:
        body += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def every_kind() -> dict[str, bytes]:
    """Return one valid image of every kind that is accepted, ordinary and odd."""
    picture = make_picture()
    frames = make_frames()
    return {
        "jpeg": encode(picture, "JPEG", quality=90),
        "progressive jpeg": encode(picture, "JPEG", progressive=True, quality=90),
        "grey jpeg": encode(make_picture("L"), "JPEG"),
        "cmyk jpeg": encode(make_picture("CMYK"), "JPEG", quality=95),
        "jpeg with exif": encode(picture, "JPEG", exif=exif(6), comment=GPS),
        "jpeg 4:4:4": encode(picture, "JPEG", subsampling=0),
        "jpeg with restarts": encode(picture, "JPEG", restart_marker_blocks=1),
        "png": encode(picture, "PNG"),
        "16-bit png": encode(make_picture("I;16"), "PNG"),
        "grey png": encode(make_picture("L"), "PNG"),
        "grey png with alpha": encode(make_picture("LA"), "PNG"),
        "png with alpha": encode(make_picture("RGBA"), "PNG"),
        "palette png": encode(make_picture("P"), "PNG"),
        "palette png with transparency": encode(make_picture("P"), "PNG", transparency=1),
        "palette png with alphas": encode(
            make_picture("RGBA").quantize(16), "PNG", transparency=bytes(range(0, 160, 10))
        ),
        "1-bit png": encode(make_picture("1"), "PNG"),
        "png with a transparent colour": encode(picture, "PNG", transparency=(255, 0, 0)),
        "interlaced png": interlaced_png(),
        "animated png": animate("PNG", frames, disposal=1),
        "animated png with default": animate("PNG", frames, default_image=True),
        "animated palette png": animate("PNG", [make_picture("P"), make_picture("P").rotate(180)]),
        "gif": encode(make_picture("P"), "GIF"),
        "grey gif": encode(make_picture("L"), "GIF"),
        "interlaced gif": encode(make_picture("P"), "GIF", interlace=1),
        "animated gif": animate("GIF", frames, disposal=2),
        "webp": encode(picture, "WEBP", quality=90),
        "webp with alpha": encode(make_picture("RGBA"), "WEBP"),
        "lossless webp": encode(make_picture("RGBA"), "WEBP", lossless=True),
        "animated webp": animate("WEBP", frames),
        "animated lossless webp": animate("WEBP", frames, lossless=True),
        "1x1 jpeg": encode(make_picture(size=(1, 1)), "JPEG"),
        "1x1 png": encode(make_picture(size=(1, 1)), "PNG"),
        "1x1 gif": encode(make_picture("P", (1, 1)), "GIF"),
        "1x1 webp": encode(make_picture(size=(1, 1)), "WEBP"),
    }


def interlaced_png() -> bytes:
    """Return an interlaced PNG, which Pillow reads and does not write: 8x8 grey, Adam7."""
    picture = [[16 * y + x for x in range(8)] for y in range(8)]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    rows = b""
    for left, top, across, down in [*passes, (0, 1, 1, 2)]:
        for row in picture[top::down]:
            rows += b"\0" + bytes(row[left::across])
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )
