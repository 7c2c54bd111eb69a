"""What the stories about model servers leave out."""

import io
from collections.abc import AsyncGenerator
from typing import Literal

from PIL import Image

from gpt_assistant_api.domain.history import Picture, Turn
from gpt_assistant_api.llm import Delta, End, GenerationSettings, ModelServer
from gpt_assistant_api.llm.choose import open_model_server

Api = Literal["responses", "chat_completions"]
APIS: tuple[Api, ...] = ("responses", "chat_completions")

SETTINGS = GenerationSettings(model="test-model", instructions="Be brief.", user_tag="tag-1")
QUESTION = [Turn("user", "Why is the sky blue?")]


def make_server(url: str, api: Api, *, timeout_seconds: float = 10) -> ModelServer:
    """Return our client for a simulated model server."""
    return open_model_server(api, "sk-test-key", url, timeout_seconds)


def make_picture(
    colour: str = "red", *, image_format: str = "PNG", size: tuple[int, int] = (40, 30)
) -> Picture:
    """Return a picture of one colour."""
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, image_format)
    media_type = f"image/{image_format.lower()}"
    return Picture("photo", media_type, *size, media_type, data.getvalue())


async def collect(stream: AsyncGenerator[Delta | End, None]) -> tuple[str, End]:
    """Return the whole text and the End, which must come once and last."""
    items = [item async for item in stream]
    deltas = [item.text for item in items[:-1] if isinstance(item, Delta)]
    end = items[-1]
    assert len(deltas) == len(items) - 1
    assert isinstance(end, End)
    return "".join(deltas), end
