"""Reads one streamed answer: what both APIs have in common.

An answer ends in exactly one way: with an End, or with a ModelError after the text that came.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import aiohttp
import msgspec

from gpt_assistant_api.domain.errors import ModelError, ModelTimeoutError
from gpt_assistant_api.domain.runs import Usage
from gpt_assistant_api.domain.text import MAX_ANSWER_CHARACTERS, one_line, storable
from gpt_assistant_api.llm import Delta, End, StopReason
from gpt_assistant_api.llm.failures import read_failure
from gpt_assistant_api.llm.http import error_body, read_some
from gpt_assistant_api.llm.sse import EventSplitter

MAX_ANSWER_SECONDS = 3_600
MAX_ANSWER_BYTES = 512 * 1024 * 1024
_EOF_SECONDS = 0.05
_MAX_COUNTED = 2**53
_MAX_MODEL_CHARACTERS = 200
_JSON_TYPES = {"application/json", "application/problem+json"}
_SURROGATE = re.compile("[\ud800-\udfff]")

T = TypeVar("T")


class AnswerDecoder(Protocol):
    """Understands the events of one answer.

    `reason` is set once the server has said why it stopped, `finished` once nothing more can come.
    """

    reason: StopReason | None
    finished: bool
    usage: Usage | None
    model: str | None

    def decode(self, name: bytes, data: bytes) -> str:
        """Return the text of an event, often none. Raises ModelError when it tells of a failure."""
        ...


async def read_answer(
    ask: Callable[[], Awaitable[aiohttp.ClientResponse]], decoder: AnswerDecoder
) -> AsyncGenerator[Delta | End, None]:
    """Yield the answer that `ask` opens. Closing the generator closes the connection at once."""
    response = await ask()
    try:
        await _check_is_stream(response)
        chunks, events, text = _Chunks(response), EventSplitter(), AnswerText()
        while not (decoder.finished or text.is_full):
            try:
                chunk = await chunks.read()
            except ModelError:
                if decoder.reason is None:
                    raise
                break
            if not chunk:
                break
            raw, failure = _decode(events.feed(chunk), decoder)
            if piece := text.add(raw):
                yield Delta(piece)
            if failure is not None:
                raise failure
        if piece := text.rest():
            yield Delta(piece)
        yield await _end(response, decoder, text)
    finally:
        response.release()


class AnswerText:
    """Makes the raw text of deltas storable, and ends an answer without end.

    JSON may name half of a surrogate pair in one delta and the other half in the next.
    """

    def __init__(self) -> None:
        self._room = MAX_ANSWER_CHARACTERS
        self._half = ""

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken."""
        return self._room <= 0

    def add(self, raw: str) -> str:
        """Return `raw` as it may be stored; half a character waits for the next call."""
        raw, self._half = self._half + raw, ""
        if not raw.isascii():
            if "\ud800" <= raw[-1] <= "\udbff":
                raw, self._half = raw[:-1], raw[-1]
            if _SURROGATE.search(raw):
                raw = raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        text = storable(raw)[: self._room]
        self._room -= len(text)
        return text

    def rest(self) -> str:
        """Return what stands for half a character that was never completed."""
        return storable(self._half) if not self.is_full else ""


class _Chunks:
    """The bytes of one answer, with its deadline and its cap."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._ends_at = time.monotonic() + MAX_ANSWER_SECONDS
        self._bytes_left = MAX_ANSWER_BYTES

    async def read(self) -> bytes:
        chunk = await read_some(self._response)
        self._bytes_left -= len(chunk)
        if self._bytes_left < 0:
            raise ModelError("The model server's answer is too large.")
        if time.monotonic() > self._ends_at:
            raise ModelTimeoutError("The model server took too long over its answer.")
        return chunk


async def _check_is_stream(response: aiohttp.ClientResponse) -> None:
    if response.content_type == "text/html":
        raise ModelError(
            "The address of the model server leads to a web page: check OPENAI_BASE_URL."
        )
    if response.content_type in _JSON_TYPES:
        # Some servers report a failure with status 200, others do not know how to stream.
        body = await error_body(response)
        if b'"error"' in body:
            raise read_failure(body)
        raise ModelError("The model server does not stream its answers.")


def _decode(
    events: Iterator[tuple[bytes, bytes]], decoder: AnswerDecoder
) -> tuple[str, ModelError | None]:
    """Return the text of all events, and the failure that ended them: text before it counts."""
    pieces: list[str] = []
    try:
        for name, data in events:
            pieces.append(decoder.decode(name, data))
            if decoder.finished:
                break
    except ModelError as failure:
        return "".join(pieces), failure
    return "".join(pieces), None


async def _end(response: aiohttp.ClientResponse, decoder: AnswerDecoder, text: AnswerText) -> End:
    model = storable(one_line(decoder.model, _MAX_MODEL_CHARACTERS)) if decoder.model else None
    if text.is_full:
        return End("output_limit", decoder.usage, model)
    if decoder.reason is None:
        raise ModelError("The model server broke off before the end of its answer.")
    # A connection whose body was read to its end can be used again.
    with suppress(ModelError, TimeoutError):
        async with asyncio.timeout(_EOF_SECONDS):
            while await read_some(response):
                pass
    return End(decoder.reason, decoder.usage, model)


def parse(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Return the JSON of an event; raises ModelError when it is not what it should be.

    Broken UTF-8 and lone surrogates, which strict decoders refuse, cost a character and not the
    answer.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        loose = json.loads(data.decode("utf-8", "replace"))
        return msgspec.convert(loose, decoder.type)
    except (ValueError, RecursionError):
        raise ModelError("The model server sent an event that cannot be read.") from None


def counted(usage: Any, input_key: str, output_key: str) -> Usage | None:
    """Return what the server counted, or None when its numbers make no sense."""
    if not isinstance(usage, dict):
        return None
    tokens = [usage.get(key) for key in (input_key, output_key, "total_tokens")]
    known = [
        number
        for number in tokens
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < _MAX_COUNTED
    ]
    if len(known) < 2 or known[:2] != tokens[:2]:
        return None
    return Usage(known[0], known[1], max([sum(known[:2]), *known[2:]]))
