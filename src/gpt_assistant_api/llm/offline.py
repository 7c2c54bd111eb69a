"""The assistant that needs no network and no key.

It cannot think, so it shows that it was given everything a model would be given: the turns, the
quote, the pictures. What it says depends on nothing else.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from gpt_assistant_api.domain.history import Picture, Turn, estimate_tokens
from gpt_assistant_api.domain.runs import Usage
from gpt_assistant_api.llm import Delta, End, GenerationSettings
from gpt_assistant_api.llm.colours import main_colours

OFFLINE_MODEL = "offline"
_OPENING = (
    "I am the offline assistant: no model is connected, so I can only show you what I was given. "
    "To connect one, set `OPENAI_API_KEY` for OpenAI, or `OPENAI_BASE_URL` for any compatible "
    "server, and name the model in `MODEL`."
)
_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP"}
_PIECE = re.compile(r"\S{1,24}\s{0,8}|\s{1,32}")


class OfflineServer:
    """Answers at once and always alike, in pieces of a word with a pause between them."""

    def __init__(self, *, delay_seconds: float = 0.02) -> None:
        self._delay_seconds = delay_seconds

    async def stream(
        self, turns: Sequence[Turn], settings: GenerationSettings
    ) -> AsyncGenerator[Delta | End, None]:
        """Yield the answer, as `ModelServer` promises."""
        answer = await asyncio.to_thread(_answer, turns)
        for piece in _PIECE.finditer(answer):
            yield Delta(piece[0])
            await asyncio.sleep(self._delay_seconds)
        yield End("stop", _usage(turns, settings, answer), OFFLINE_MODEL)

    async def list_models(self) -> list[str]:
        """Return the one name there is."""
        return [OFFLINE_MODEL]

    async def close(self) -> None:
        """Do nothing: there is no connection."""


def _usage(turns: Sequence[Turn], settings: GenerationSettings, answer: str) -> Usage:
    given = estimate_tokens(settings.instructions) + sum(
        estimate_tokens(turn.text, len(turn.pictures)) for turn in turns
    )
    said = estimate_tokens(answer)
    return Usage(given, said, given + said)


def _answer(turns: Sequence[Turn]) -> str:
    *earlier, last = turns or [Turn("user", "")]
    quote, text = _split_quote(last.text)
    parts = [_OPENING, _history(earlier)]
    if last.pictures:
        parts.append(_pictures("Pictures in your message:", last.pictures))
    if before := [picture for turn in earlier for picture in turn.pictures]:
        parts.append(_pictures("Pictures earlier in this thread:", before))
    if quote:
        parts += ["You replied to this message:", quote]
    if text.strip():
        parts += ["You wrote:", "\n".join(f"> {line}" for line in text.split("\n"))]
    return "\n\n".join(parts) + "\n"


def _split_quote(text: str) -> tuple[str, str]:
    """Return the Markdown quote that `text` begins with, and the rest."""
    lines = text.split("\n")
    quoted = next((at for at, line in enumerate(lines) if not line.startswith(">")), len(lines))
    return "\n".join(lines[:quoted]), "\n".join(lines[quoted:]).lstrip("\n")


def _history(earlier: Sequence[Turn]) -> str:
    if not earlier:
        return "This is the first message of this thread that I was given."
    yours = sum(turn.role == "user" for turn in earlier)
    return (
        f"Before this message I was given {_count(len(earlier), 'earlier message')}: "
        f"{yours} from you and {len(earlier) - yours} from the assistant."
    )


def _pictures(heading: str, pictures: Sequence[Picture]) -> str:
    return f"{heading}\n\n" + "\n".join(f"- {_picture(picture)}" for picture in pictures)


def _picture(picture: Picture) -> str:
    name = picture.filename.replace("`", "'")
    format_name = _FORMATS.get(picture.content_type, picture.content_type)
    size = f"{picture.width} × {picture.height} pixels"
    return f"`{name}`: {format_name}, {size}, {main_colours(picture.data)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
