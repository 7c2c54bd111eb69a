import io
from threading import Barrier, Event, Semaphore, current_thread

import anyio
import pytest
from PIL import Image

from gpt_assistant_api.domain.errors import InvalidError
from gpt_assistant_api.domain.files import THUMBNAIL_SIZES
from gpt_assistant_api.images import (
    accept,
    content_type_of,
    for_model,
    make_thumbnail,
    smaller,
)
from tests.images.builders import (
    accept_image,
    animate,
    decode,
    encode,
    every_kind,
    make_picture,
)

KINDS = every_kind()


@pytest.mark.parametrize("name", KINDS)
async def test_every_accepted_image_has_thumbnails(name: str) -> None:
    stored = (await accept_image(KINDS[name])).data
    for size in THUMBNAIL_SIZES:
        data, content_type = await make_thumbnail(stored, size)
        assert content_type_of(data) == content_type
        assert decode(data).size == decode(stored).size


@pytest.mark.parametrize("name", KINDS)
async def test_every_accepted_image_can_be_shown_to_a_model(name: str) -> None:
    accepted = await accept_image(KINDS[name])
    data, content_type = await for_model(accepted.data, accepted.content_type)
    picture = Image.open(io.BytesIO(data))
    assert content_type == content_type_of(data)
    assert picture.size == (accepted.width, accepted.height)
    assert picture.mode in {"1", "L", "P", "LA", "RGB", "RGBA"}
    assert getattr(picture, "n_frames", 1) == 1


@pytest.mark.parametrize("name", ["jpeg", "png", "palette png", "gif", "webp"])
async def test_what_is_small_and_plain_reaches_the_model_unchanged(name: str) -> None:
    accepted = await accept_image(KINDS[name])
    assert await for_model(accepted.data, accepted.content_type) == (
        accepted.data,
        accepted.content_type,
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4000, 3000), (1024, 768)), ((3000, 4000), (768, 1024)), ((8000, 1000), (2048, 256)),
     ((9000, 2), (2048, 1)), ((2048, 768), (2048, 768))],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
async def test_models_get_no_more_pixels_than_they_use(
    kind: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    data, _ = await for_model(encode(Image.new("L", size), kind), f"image/{kind.lower()}")
    assert decode(data).size == expected


@pytest.mark.parametrize("size", THUMBNAIL_SIZES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
async def test_the_longest_side_of_a_thumbnail_is_its_size(kind: str, size: int) -> None:
    data, content_type = await make_thumbnail(encode(Image.new("L", (1500, 3000)), kind), size)
    assert decode(data).size == (size // 2, size)
    assert content_type == "image/jpeg"


async def test_what_can_be_seen_through_stays_so() -> None:
    picture = Image.new("RGBA", (200, 200), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 100, 200))
    stored = encode(picture, "PNG")
    small, small_type = await make_thumbnail(stored, 64)
    sent, sent_type = await for_model(encode(picture.resize((2000, 2000)), "PNG"), "image/png")
    assert (small_type, sent_type) == ("image/webp", "image/png")
    for data in (small, sent):
        alpha = decode(data).getchannel("A")
        assert (alpha.getpixel((2, 2)), alpha.getpixel((alpha.width - 2, 2))) == (255, 0)


async def test_16_bits_are_scaled_and_not_cut_off() -> None:
    stored = encode(Image.new("I;16", (100, 100), 0x8000), "PNG")
    for data, _ in (await make_thumbnail(stored, 64), await for_model(stored, "image/png")):
        assert decode(data).convert("L").getpixel((5, 5)) in range(126, 131)


async def test_of_an_animation_the_first_frame_is_shown() -> None:
    frames = [Image.new("RGB", (300, 200), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        stored = (await accept_image(animate(kind, frames))).data
        for data, _ in (
            await make_thumbnail(stored, 64),
            await for_model(stored, f"image/{kind.lower()}"),
        ):
            colour = decode(data).convert("RGB").getpixel((9, 9))
            assert isinstance(colour, tuple)
            assert colour[0] > 240
            assert colour[2] < 20


async def test_other_sizes_are_not_made() -> None:
    for size in (0, -1, 63, 100_000):
        with pytest.raises(ValueError, match="THUMBNAIL_SIZES"):
            await make_thumbnail(KINDS["jpeg"], size)


async def test_stored_bytes_that_were_damaged_are_refused() -> None:
    data = KINDS["jpeg"][:-200]
    with pytest.raises(InvalidError):
        await make_thumbnail(data, 64)
    with pytest.raises(InvalidError):
        await for_model(encode(make_picture("CMYK"), "JPEG")[:-200], "image/jpeg")


async def test_work_is_done_apart_and_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    here, pair, running, counts = current_thread(), Barrier(2, timeout=10), Semaphore(2), []

    def work(data: bytes, size: int) -> tuple[bytes, str]:
        counts.append(running.acquire(blocking=False) and current_thread() is not here)
        pair.wait()
        running.release()
        pair.wait()
        return data, "image/png"

    monkeypatch.setattr(smaller, "thumbnail", work)
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(make_thumbnail, b"", 64)
    assert counts == [True] * 8


async def test_of_large_images_one_at_a_time_is_decoded_and_small_ones_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_ones_passed, large_ones, counts = Event(), Semaphore(1), []
    rebuild = accept.rebuild

    def work(apart: accept.Apart) -> accept.AcceptedImage:
        if apart.is_large:
            counts.append(large_ones.acquire(blocking=False) and small_ones_passed.wait(10))
            large_ones.release()
        return rebuild(apart)

    monkeypatch.setattr(accept, "rebuild", work)
    large = encode(Image.new("1", (1001, 1000)), "PNG")
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(accept_image, large)
        for _ in range(3):
            await accept_image(KINDS["jpeg"])
        small_ones_passed.set()
    assert counts == [True] * 3
