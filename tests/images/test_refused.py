import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from gpt_assistant_api.domain.errors import InvalidError, Refusal, UnsupportedMediaError
from gpt_assistant_api.images import bounds
from tests.images.builders import (
    accept,
    accept_image,
    animate,
    encode,
    every_kind,
    jpeg_segment,
    make_frames,
    make_picture,
    png_chunk,
    riff,
    with_chunks,
)

KINDS = every_kind()
PICTURE = make_picture()
OTHERS = {
    "nothing": b"",
    "text": b"This is no image.",
    "zeros": bytes(1_000),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n",
    "eps": encode(PICTURE, "EPS"),
    "psd": b"8BPS\x00\x01" + bytes(6) + struct.pack(">HIIHH", 3, 1, 1, 8, 3),
    "tiff": encode(PICTURE, "TIFF"),
    "avif": encode(PICTURE, "AVIF"),
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "bmp": encode(PICTURE, "BMP"),
    "ico": encode(PICTURE, "ICO"),
    "jpeg 2000": encode(PICTURE, "JPEG2000"),
    "ppm": encode(PICTURE, "PPM"),
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "jpeg behind a space": b" " + KINDS["jpeg"],
    "png behind html": b"<html>" + KINDS["png"],
}


@pytest.mark.parametrize("name", OTHERS)
async def test_nothing_else_is_accepted(name: str) -> None:
    with pytest.raises(UnsupportedMediaError) as refusal:
        await accept_image(OTHERS[name])
    assert refusal.value.code == "file_unsupported"


@pytest.mark.parametrize(
    "magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF____WEBP"]
)
@pytest.mark.parametrize("rest", [b"", bytes(100), b"<svg>", b"\xff" * 100, b"%PDF-1.7" * 20])
async def test_first_bytes_alone_make_no_image(magic: bytes, rest: bytes) -> None:
    with pytest.raises(InvalidError) as refusal:
        await accept_image(magic + rest)
    assert refusal.value.code == "file_corrupt"


@pytest.mark.parametrize("name", KINDS)
def test_no_part_of_an_image_passes_for_the_whole(name: str) -> None:
    data = KINDS[name]
    cuts = random.Random(7).sample(range(len(data)), min(60, len(data)))
    for cut in {*range(20), *cuts, *range(len(data) - 20, len(data))}:
        with pytest.raises(Refusal):
            accept(data[:cut])


def test_a_refusal_says_nothing_of_the_decoder() -> None:
    garbage = png_chunk(b"IDAT", b"\x78\x9c" + bytes(range(256)))
    with pytest.raises(InvalidError) as refusal:
        accept(KINDS["png"][:33] + garbage + png_chunk(b"IEND", b""))
    assert refusal.value.message == "The image is damaged or incomplete."
    assert refusal.value.__suppress_context__


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", pixels)
        + png_chunk(b"IEND", b"")
    )


def gif_header(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\0\0\0," + bytes(4) + size + b"\0\x08\x02\x00\x01\0;"


def jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(KINDS["jpeg"])
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_header(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return riff((b"VP8X", b"\x02\0\0\0" + size), (b"ANIM", bytes(6)), webp_frame())


def webp_frame() -> tuple[bytes, bytes]:
    picture = encode(make_picture(size=(1, 1)), "WEBP", lossless=True)[12:]
    return b"ANMF", bytes(16) + picture


@pytest.mark.parametrize("make", [png_header, gif_header, jpeg_header, webp_header])
def test_too_many_pixels_are_refused_before_they_are_made(
    make: Callable[[int, int], bytes],
) -> None:
    data = make(60_000, 60_000)
    tracemalloc.start()
    with pytest.raises(InvalidError, match="more than 50 megapixels"):
        accept(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("make", [png_header, gif_header, jpeg_header])
@pytest.mark.parametrize("size", [(0, 10), (10, 0), (0, 0)])
def test_no_pixels_are_refused(make: Callable[[int, int], bytes], size: tuple[int, int]) -> None:
    with pytest.raises(InvalidError):
        accept(make(*size))


def test_the_coded_size_of_a_webp_counts_whatever_its_header_says() -> None:
    lossless = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14)
    small = bytes(4) + bytes(6)
    with pytest.raises(InvalidError, match="megapixels"):
        accept(riff((b"VP8X", small), (b"VP8L", lossless)))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_frames_are_counted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = animate(kind, make_frames(4))
    monkeypatch.setattr(bounds, "MAX_FRAMES", 4)
    accept(data)
    monkeypatch.setattr(bounds, "MAX_FRAMES", 3)
    with pytest.raises(InvalidError, match="frames"):
        accept(data)
    monkeypatch.setattr(bounds, "MAX_FRAMES", 500)
    monkeypatch.setattr(bounds, "MAX_PIXELS_OF_ALL_FRAMES", 40 * 30 * 3)
    with pytest.raises(InvalidError, match="all its frames"):
        accept(data)


def test_a_picture_beyond_any_canvas_is_refused() -> None:
    data = bytearray(gif_header(1, 1))
    data[14:16] = b"\xff\xff"
    with pytest.raises(InvalidError):
        accept(bytes(data))


def test_a_png_that_cannot_hold_its_pixels_is_refused() -> None:
    row = struct.pack(">IIBBBBB", 48, 65_000, 8, 2, 0, 0, 0)
    data = KINDS["png"][:8] + png_chunk(b"IHDR", row) + KINDS["png"][33:]
    with pytest.raises(InvalidError):
        accept(data)


def test_a_png_of_one_endless_column_is_refused() -> None:
    with pytest.raises(InvalidError, match="pixels long"):
        accept(png_header(1, 1_000_000))


def test_a_png_whose_palette_is_missing_is_refused() -> None:
    data = KINDS["palette png"].replace(b"PLTE", b"paLT")
    with pytest.raises(InvalidError):
        accept(data)


def test_a_gif_of_many_tiny_frames_is_refused() -> None:
    frame = b"," + bytes(4) + b"\x01\0\x01\0\0\x02\x02\x44\x01\0"
    with pytest.raises(InvalidError, match="more than 500 frames"):
        accept(b"GIF89a\x01\0\x01\0\x80\0\0" + bytes(6) + frame * 600 + b";")


def test_millions_of_pieces_are_refused() -> None:
    picture = KINDS["png"]
    for data in (
        with_chunks(picture, png_chunk(b"iTXt", b"") * 100_000),
        KINDS["jpeg"][:2] + jpeg_segment(0xFE, b"") * 300_000 + KINDS["jpeg"][2:],
        KINDS["gif"][:-1] + b"!\xfe" + b"\x01a" * 300_000 + b"\0;",
    ):
        with pytest.raises(InvalidError, match="pieces"):
            accept(data)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = KINDS["progressive jpeg"]
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(InvalidError, match="scans"):
        accept(data[:-2] + scan * 100 + data[-2:])


def test_a_profile_that_unpacks_to_gigabytes_is_refused() -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    tracemalloc.start()
    with pytest.raises(InvalidError, match="profile"):
        accept(with_chunks(KINDS["png"], png_chunk(b"iCCP", b"name\0\0" + bomb)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_text_that_would_unpack_to_gigabytes_stays_packed() -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    data = with_chunks(
        KINDS["png"],
        png_chunk(b"zTXt", b"a\0\0" + bomb),
        png_chunk(b"iTXt", b"b\0\x01\0\0\0" + bomb),
    )
    assert accept(data) == accept(KINDS["png"])


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_image_is_accepted_or_refused_and_never_worse(seed: int) -> None:
    chance = random.Random(seed)
    kinds = list(KINDS.items())
    for number in range(1_000):
        name, data = chance.choice(kinds)
        mutated = mutate(chance, data)
        try:
            accept(mutated)
        except Refusal:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, number {number}: {name}") from error


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Change some bytes, take some out or repeat some, more often near the start."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.choice([12, 12, 12, 0]) + int(len(changed) * chance.random() ** 2)
        length = chance.randint(1, 4)
        match chance.randint(0, 3):
            case 0 | 1:
                changed[at : at + length] = chance.randbytes(length)
            case 2:
                del changed[at : at + length]
            case _:
                changed[at:at] = changed[at : at + length]
    return repaired(bytes(changed)) if data[:4] == b"\x89PNG" else bytes(changed)


def repaired(png: bytes) -> bytes:
    """Make the checksums right again, so that what was changed is reached."""
    result, at = png[:8], 8
    while at + 12 <= len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        result += png_chunk(png[at + 4 : at + 8], png[at + 8 : at + 8 + length])
        at += 12 + length
    return result
