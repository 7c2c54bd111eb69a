"""What both APIs need to make a request out of turns."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gpt_assistant_api.domain.errors import ModelError
from gpt_assistant_api.domain.history import Picture, Turn
from gpt_assistant_api.domain.text import storable

_LARGE_BYTES = 128 * 1024


def spoken(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns that say something: servers refuse empty ones."""
    return [turn for turn in turns if turn.text.strip() or (turn.pictures and turn.role == "user")]


def data_url(picture: Picture) -> msgspec.Raw:
    """Return the picture as a data URL that is JSON already.

    To look for what must be escaped takes long, and in a thread, too, nothing else runs meanwhile.
    """
    head = f'"data:{picture.media_type};base64,'.encode()
    return msgspec.Raw(b"".join([head, base64.b64encode(picture.data), b'"']))


async def encode(make: Callable[[], dict[str, Any]], turns: Sequence[Turn]) -> bytes:
    """Return the JSON of the request that `make` makes, in a thread when its pictures are large."""
    size = sum(len(picture.data) for turn in turns for picture in turn.pictures)
    if size < _LARGE_BYTES:
        return msgspec.json.encode(make())
    return await asyncio.to_thread(lambda: msgspec.json.encode(make()))


def model_names(body: bytes) -> list[str]:
    """Return the names in the answer to GET /models, in whichever of its forms."""
    try:
        payload = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise ModelError("The model server's list of models cannot be read.") from None
    if isinstance(payload, dict):
        payload = payload.get("data") or payload.get("models") or []
    if not isinstance(payload, list):
        raise ModelError("The model server's list of models cannot be read.")
    names = [
        item.get("id") or item.get("name") if isinstance(item, dict) else item for item in payload
    ]
    return [storable(name) for name in names if isinstance(name, str) and name]
