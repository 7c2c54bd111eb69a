import hashlib
import io

import pytest
from PIL import Image, ImageChops, ImageSequence, JpegImagePlugin

from tests.images.builders import (
    accept_image,
    animate,
    decode,
    encode,
    every_kind,
    exif,
    interlaced_png,
    make_frames,
    make_picture,
    png_chunk,
    with_chunks,
)

KINDS = every_kind()
LOSSLESS = [name for name in KINDS if "png" in name or "gif" in name or "lossless" in name]


def frames_of(data: bytes) -> list[Image.Image]:
    return [frame.convert("RGBA") for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


def difference(one: Image.Image, other: Image.Image) -> int:
    """Return the largest difference of any visible sample."""
    pair = []
    for image in (one, other):
        visible = Image.new("RGBA", image.size, (128, 128, 128, 255))
        visible.alpha_composite(image.convert("RGBA"))
        pair.append(visible.convert("RGB"))
    return max(ImageChops.difference(*pair).tobytes())


def is_like(one: Image.Image, other: Image.Image) -> bool:
    """Tell whether two images are the same but for what lossy coding does to edges."""
    small = [image.convert("RGBA").resize((6, 4), Image.Resampling.BOX) for image in (one, other)]
    return difference(*small) < 20


@pytest.mark.parametrize("name", KINDS)
async def test_every_kind_is_accepted_and_looks_the_same(name: str) -> None:
    before = decode(KINDS[name])
    accepted = await accept_image(KINDS[name])
    after = decode(accepted.data)
    assert accepted.content_type == Image.MIME[before.format or ""]
    assert accepted.content_type == Image.MIME[after.format or ""]
    assert (accepted.width, accepted.height) == after.size
    assert accepted.sha256 == hashlib.sha256(accepted.data).hexdigest()
    if "exif" not in name:
        assert after.size == before.size
        assert is_like(before, after)


@pytest.mark.parametrize("name", LOSSLESS)
async def test_no_pixel_changes_where_the_format_loses_none(name: str) -> None:
    accepted = await accept_image(KINDS[name])
    before, after = frames_of(KINDS[name]), frames_of(accepted.data)
    assert [difference(*pair) for pair in zip(before, after, strict=True)] == [0] * len(before)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
async def test_a_png_keeps_its_kind_of_pixels(mode: str) -> None:
    picture = make_picture(mode)
    stored = decode((await accept_image(encode(picture, "PNG"))).data)
    assert stored.mode == mode
    assert stored.tobytes() == picture.tobytes()


async def test_an_accepted_image_is_accepted_again_and_stays() -> None:
    for name, data in KINDS.items():
        once = await accept_image(data)
        twice = await accept_image(once.data)
        assert (twice.content_type, twice.width, twice.height) == (
            once.content_type,
            once.width,
            once.height,
        )
        if name in LOSSLESS:
            assert twice == once


@pytest.mark.parametrize(
    "name", ["animated gif", "animated png", "animated webp", "animated lossless webp"]
)
async def test_an_animation_keeps_frames_times_and_loops(name: str) -> None:
    accepted = await accept_image(KINDS[name])
    before, after = (Image.open(io.BytesIO(data)) for data in (KINDS[name], accepted.data))
    assert after.info["loop"] == before.info["loop"] == 3
    seen = [
        [round(frame.info["duration"]) for frame in _loaded(image)] for image in (before, after)
    ]
    assert seen[0] == seen[1] == [100, 110, 120]


async def test_frames_of_a_gif_keep_colours_of_their_own() -> None:
    gradient = Image.linear_gradient("L").resize((64, 64))
    frames = [Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(turn)))
              for turn in (0, 90, 180)]  # fmt: skip
    data = animate("GIF", [frame.quantize(256) for frame in frames])
    accepted = await accept_image(data)
    pairs = zip(frames_of(data), frames_of(accepted.data), strict=True)
    assert [difference(*pair) for pair in pairs] == [0, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_every_orientation_ends_upright(kind: str, orientation: int) -> None:
    upright = make_picture(size=(64, 32))
    turns = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    turn = turns[orientation]
    held = upright if turn is None else upright.transpose(turn)
    accepted = await accept_image(encode(held, kind, exif=exif(orientation), quality=95))
    stored = decode(accepted.data)
    assert (accepted.width, accepted.height) == stored.size == (64, 32)
    for point in ((8, 8), (56, 8), (8, 24), (56, 24)):
        seen, meant = stored.convert("RGB").getpixel(point), upright.getpixel(point)
        assert isinstance(seen, tuple)
        assert isinstance(meant, tuple)
        assert max(abs(a - b) for a, b in zip(seen, meant, strict=True)) < 16
    assert stored.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("order", ["<", ">"])
async def test_both_byte_orders_of_exif_are_read(order: str) -> None:
    data = Image.Exif()
    data.endian = order
    data[0x0112] = 6
    accepted = await accept_image(encode(make_picture(), "JPEG", exif=data.tobytes()))
    assert (accepted.width, accepted.height) == (32, 48)


@pytest.mark.parametrize(
    "data", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff"]
)
async def test_broken_exif_turns_nothing(data: bytes) -> None:
    accepted = await accept_image(encode(make_picture(), "JPEG", exif=b"Exif\0\0" + data))
    assert (accepted.width, accepted.height) == (48, 32)


async def test_a_jpeg_keeps_its_quality_and_sampling() -> None:
    for options in ({"quality": 60, "subsampling": 2}, {"quality": 95, "subsampling": 0}):
        data = encode(make_picture(size=(200, 150)), "JPEG", **options)
        before, after = decode(data), decode((await accept_image(data)).data)
        assert isinstance(before, JpegImagePlugin.JpegImageFile)
        assert isinstance(after, JpegImagePlugin.JpegImageFile)
        assert after.quantization == before.quantization
        assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before)


async def test_colours_of_a_profile_become_those_that_everybody_expects() -> None:
    picture = Image.new("RGB", (16, 16), (200, 30, 30))
    swapped = _profile_with_red_and_green_swapped()
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encode(picture, kind, icc_profile=swapped, quality=95)
        stored = decode((await accept_image(data)).data)
        assert "icc_profile" not in stored.info
        red, green, _ = stored.convert("RGB").resize((1, 1)).tobytes()
        assert red < 60
        assert green > 150


async def test_a_broken_profile_changes_nothing() -> None:
    data = encode(make_picture(), "PNG", icc_profile=b"no profile at all")
    assert difference(decode((await accept_image(data)).data), make_picture()) == 0


async def test_an_invalid_animation_is_still_a_still_image() -> None:
    picture = make_picture()
    nothing = png_chunk(b"acTL", bytes(8))
    data = with_chunks(encode(picture, "PNG"), nothing, nothing)
    stored = await accept_image(data)
    assert stored == await accept_image(encode(picture, "PNG"))


async def test_a_picture_outside_its_gif_makes_it_larger() -> None:
    data = bytearray(encode(make_picture("P", (20, 10)), "GIF"))
    data[6:10] = b"\x05\x00\x05\x00"
    accepted = await accept_image(bytes(data))
    assert (accepted.width, accepted.height) == decode(accepted.data).size == (20, 10)


async def test_an_interlaced_png_keeps_its_pixels() -> None:
    stored = decode((await accept_image(interlaced_png())).data)
    assert stored.tobytes() == bytes(16 * y + x for y in range(8) for x in range(8))


async def test_frames_with_opaque_pixels_alone_are_kept() -> None:
    data = animate("WEBP", make_frames(mode="RGB"), lossless=True)
    assert len(frames_of((await accept_image(data)).data)) == 3


def _loaded(image: Image.Image) -> list[Image.Image]:
    frames = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        frames.append(frame.copy())
    return frames


def _profile_with_red_and_green_swapped() -> bytes:
    """Return an sRGB profile in which the first primary is green, the second red."""
    from PIL import ImageCms

    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = data.index(b"rXYZ"), data.index(b"gXYZ")
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    # Its own description would say that there is nothing to do.
    return bytes(data).replace(b"s\0R\0G\0B", b"t\0e\0s\0t")
