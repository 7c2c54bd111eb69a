"""OpenAI's Responses API. Nothing is stored there: threads live here."""

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
from gpt_assistant_api.llm.failures import model_failure
from gpt_assistant_api.llm.http import ModelConnection
from gpt_assistant_api.llm.requests import data_url, encode, model_names, spoken


class ResponsesServer:
    """A model server that speaks the Responses API."""

    def __init__(self, connection: ModelConnection) -> None:
        self._connection = connection

    def stream(
        self, turns: Sequence[Turn], settings: GenerationSettings
    ) -> AsyncGenerator[Delta | End, None]:
        """Yield the answer, as `ModelServer` promises."""
        return read_answer(partial(self._ask, turns, settings), ResponsesDecoder())

    async def list_models(self) -> list[str]:
        """Return the names of the models that the server offers."""
        return model_names(await self._connection.get("models"))

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def _ask(
        self, turns: Sequence[Turn], settings: GenerationSettings
    ) -> aiohttp.ClientResponse:
        body = await encode(partial(_request, turns, settings), turns)
        return await self._connection.post("responses", body)


def _request(turns: Sequence[Turn], settings: GenerationSettings) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": settings.model,
        "input": [{"role": turn.role, "content": _content(turn)} for turn in spoken(turns)],
        "store": False,
        "stream": True,
        "safety_identifier": settings.user_tag,
    }
    if settings.instructions:
        request["instructions"] = settings.instructions
    return request


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    if turn.role == "assistant" or not turn.pictures:
        return turn.text
    parts: list[dict[str, Any]] = []
    if turn.text.strip():
        parts.append({"type": "input_text", "text": turn.text})
    parts += [
        {"type": "input_image", "image_url": data_url(picture), "detail": "auto"}
        for picture in turn.pictures
    ]
    return parts


class _Event(msgspec.Struct):
    type: str = ""
    sequence_number: int | None = None


class _TextDelta(_Event):
    delta: str = ""


class _IncompleteDetails(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    model: str | None = None
    error: Any = None
    incomplete_details: _IncompleteDetails | None = None
    usage: Any = None


class _Ending(_Event, kw_only=True):
    response: _Response


class _Failure(_Event):
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None


_ANY_EVENT: Final[msgspec.json.Decoder[_Event]] = msgspec.json.Decoder(_Event)
_DECODERS: Final[dict[bytes, msgspec.json.Decoder[Any]]] = {
    b"response.output_text.delta": msgspec.json.Decoder(_TextDelta),
    b"response.refusal.delta": msgspec.json.Decoder(_TextDelta),
    b"response.completed": msgspec.json.Decoder(_Ending),
    b"response.incomplete": msgspec.json.Decoder(_Ending),
    b"response.failed": msgspec.json.Decoder(_Ending),
    b"error": msgspec.json.Decoder(_Failure),
}


class ResponsesDecoder:
    """Understands the events of one response, by their name or else by the type in their data."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.finished = False
        self.usage: Usage | None = None
        self.model: str | None = None
        self._refused = False
        self._number: int | None = None
        self._counts = False

    def decode(self, name: bytes, data: bytes) -> str:
        """Return the text of an event. Raises ModelError for a failure or a gap in the events."""
        if not data or data == b"[DONE]":
            return ""
        name = name or parse(_ANY_EVENT, data).type.encode()
        event = parse(_DECODERS.get(name, _ANY_EVENT), data)
        self._check_number(event.sequence_number)
        match event:
            case _TextDelta():
                self._refused = self._refused or name == b"response.refusal.delta"
                return event.delta
            case _Ending():
                self._end(name, event.response)
            case _Failure():
                raise model_failure(
                    event.error
                    or {"code": event.code, "message": event.message, "param": event.param}
                )
        return ""

    def _check_number(self, number: int | None) -> None:
        """Notice events that are missing or repeated, where the server counts its events at all."""
        if number is None:
            return
        if self._number is not None:
            follows = number == self._number + 1
            if self._counts and not follows:
                raise ModelError("The model server's answer arrived with a gap.")
            self._counts = self._counts or follows
        self._number = number

    def _end(self, name: bytes, response: _Response) -> None:
        if name == b"response.failed":
            raise model_failure(response.error)
        self.finished = True
        self.model = response.model
        self.usage = counted(response.usage, "input_tokens", "output_tokens")
        if name == b"response.completed":
            self.reason = "refusal" if self._refused else "stop"
        else:
            details = response.incomplete_details
            filtered = details is not None and details.reason == "content_filter"
            self.reason = "content_filter" if filtered else "output_limit"
