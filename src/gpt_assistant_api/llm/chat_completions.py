"""The Chat Completions API, as OpenAI and many compatible servers speak it."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any, Final

import aiohttp
import msgspec

from gpt_assistant_api.domain.errors import ModelError
from gpt_assistant_api.domain.history import Turn
from gpt_assistant_api.domain.runs import Usage
from gpt_assistant_api.llm import Delta, End, GenerationSettings, StopReason
from gpt_assistant_api.llm.answers import counted, parse, read_answer
from gpt_assistant_api.llm.failures import ParameterRefusedError, model_failure
from gpt_assistant_api.llm.http import ModelConnection
from gpt_assistant_api.llm.requests import data_url, encode, model_names, spoken

_REASONS: Final[dict[str, StopReason]] = {
    "length": "output_limit",
    "model_length": "output_limit",
    "content_filter": "content_filter",
}


class ChatCompletionsServer:
    """A model server that speaks Chat Completions.

    Only fields that every server knows are sent. Usage is asked for, and no longer once the
    server has refused the question.
    """

    def __init__(self, connection: ModelConnection) -> None:
        self._connection = connection
        self._asks_for_usage = True

    def stream(
        self, turns: Sequence[Turn], settings: GenerationSettings
    ) -> AsyncGenerator[Delta | End, None]:
        """Yield the answer, as `ModelServer` promises."""
        return read_answer(partial(self._ask, turns, settings), ChatDecoder())

    async def list_models(self) -> list[str]:
        """Return the names of the models that the server offers."""
        return model_names(await self._connection.get("models"))

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def _ask(
        self, turns: Sequence[Turn], settings: GenerationSettings
    ) -> aiohttp.ClientResponse:
        with_usage = self._asks_for_usage
        extra: dict[str, Any] = {}
        if with_usage:
            extra["stream_options"] = {"include_usage": True}
        if self._connection.is_openai:
            extra["safety_identifier"] = settings.user_tag
        body = await encode(lambda: _request(turns, settings) | extra, turns)
        try:
            return await self._connection.post("chat/completions", body)
        except ParameterRefusedError:
            if not with_usage:
                raise
            self._asks_for_usage = False
        return await self._ask(turns, settings)


def _request(turns: Sequence[Turn], settings: GenerationSettings) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    if settings.instructions:
        messages.append({"role": "system", "content": settings.instructions})
    messages += [{"role": turn.role, "content": _content(turn)} for turn in spoken(turns)]
    return {"model": settings.model, "messages": messages, "stream": True}


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    if turn.role == "assistant" or not turn.pictures:
        return turn.text
    parts: list[dict[str, Any]] = []
    if turn.text.strip():
        parts.append({"type": "text", "text": turn.text})
    parts += [
        {"type": "image_url", "image_url": {"url": data_url(picture)}} for picture in turn.pictures
    ]
    return parts


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Delta(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    object: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    message: Any = None
    code: Any = None


_CHUNK: Final[msgspec.json.Decoder[_Chunk]] = msgspec.json.Decoder(_Chunk)


class ChatDecoder:
    """Understands the chunks of one completion, with whatever servers leave out of them."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.finished = False
        self.usage: Usage | None = None
        self.model: str | None = None
        self._refused = False

    def decode(self, name: bytes, data: bytes) -> str:
        """Return the text of a chunk. Raises ModelError when it tells of a failure."""
        if not data:
            return ""
        if data == b"[DONE]":
            self.finished = True
            self.reason = self.reason or self._reason("stop")
            return ""
        chunk = parse(_CHUNK, data)
        if chunk.error is not None:
            raise model_failure(chunk.error)
        if chunk.object == "error" or name == b"error":
            raise model_failure({"code": chunk.code, "message": chunk.message})
        self.model = chunk.model or self.model
        if chunk.usage is not None:
            self.usage = counted(chunk.usage, "prompt_tokens", "completion_tokens") or self.usage
        return "".join([self._text(choice) for choice in chunk.choices or () if not choice.index])

    def _text(self, choice: _Choice) -> str:
        text = ""
        if choice.delta is not None:
            self._refused = self._refused or bool(choice.delta.refusal)
            text = _words(choice.delta.content) + (choice.delta.refusal or "")
        if choice.finish_reason == "error":
            raise ModelError("The model server failed in the middle of its answer.")
        if choice.finish_reason:
            self.reason = self._reason(choice.finish_reason)
        return text

    def _reason(self, finish_reason: str) -> StopReason:
        return _REASONS.get(finish_reason) or ("refusal" if self._refused else "stop")


def _words(content: str | list[_Part] | None) -> str:
    """Return the text of a delta, which reasoning models of some servers send in typed parts."""
    if isinstance(content, list):
        return "".join(part.text or "" for part in content if part.type == "text")
    return content or ""
