"""A photograph of several megabytes on its way to the model."""

import io
import random
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from tests.model_server import ModelServerSimulation
from tests.server import client_of, make_settings, running


@pytest.fixture(scope="module")
def photo() -> bytes:
    """Return a JPEG of 12 megapixels and several megabytes, with a position in its EXIF."""
    grain = Image.frombytes("L", (4000, 3000), random.Random(1).randbytes(12_000_000))
    sky = Image.merge("RGB", (grain, grain, grain)).filter(ImageFilter.GaussianBlur(1))
    image = Image.blend(Image.new("RGB", (4000, 3000), (40, 90, 200)), sky, 0.3)
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("api", ["responses", "chat_completions"])
async def test_a_photograph_reaches_the_model_as_a_valid_picture_of_useful_size(
    tmp_path: Path, upstream: ModelServerSimulation, photo: bytes, api: str
) -> None:
    assert len(photo) > 3_000_000
    settings = make_settings(tmp_path, openai_base_url=upstream.url, model="sim", model_api=api)
    with running(settings) as server:
        async with client_of(server) as client:
            response = await client.post(
                "/ask",
                data={"user_id": "ada", "prompt": "What is this?"},
                files={"file": ("photo.jpg", photo, "image/jpeg")},
            )
            assert response.status_code == 200, response.text
            [file] = response.json()["user_message"]["files"]
            stored = (await client.get(file["url"])).content
    assert (file["width"], file["height"]) == (4000, 3000)
    assert b"Exif" not in stored
    [(media_type, sent)] = upstream.requests[-1].pictures
    assert media_type == "image/jpeg"
    with Image.open(io.BytesIO(sent)) as image:
        image.load()
        assert image.size == (1024, 768)
        average = image.resize((1, 1)).getpixel((0, 0))
        assert isinstance(average, tuple)
        assert average[2] > average[0]


async def test_the_offline_assistant_describes_a_photograph(tmp_path: Path, photo: bytes) -> None:
    with running(make_settings(tmp_path)) as server:
        async with client_of(server) as client:
            response = await client.post(
                "/ask",
                data={"user_id": "ada", "prompt": "What is this?"},
                files={"file": ("photo.jpg", photo, "image/jpeg")},
            )
    said = response.json()["message"]["content"]
    assert said.startswith("I am the offline assistant")
    assert "photo.jpg" in said
    assert "JPEG, 4000 × 3000 pixels, mainly blue" in said
