"""The events of the simulated model server, with every field that the official types require."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Blocks = Iterator[tuple[int, bytes]]

_ITEM_ID = "msg_1"
_CREATED_AT = 1_700_000_000


def usage_of(input_tokens: int, output_tokens: int) -> dict[str, int]:
    """Return the counts that both APIs' forms of usage are made of."""
    return {"input": input_tokens, "output": output_tokens, "total": input_tokens + output_tokens}


def responses_events(
    request: Mapping[str, Any],
    pieces: Sequence[str],
    *,
    refuses: bool,
    incomplete_reason: str | None,
    usage: Mapping[str, int],
    omit_terminal: bool,
    error: Mapping[str, Any] | None,
) -> Blocks:
    """Yield the blocks of a response's stream, each with the number of pieces before it."""
    kind = "refusal" if refuses else "output_text"
    item = _Item(kind)
    place = {"item_id": _ITEM_ID, "output_index": 0, "content_index": 0}
    whole = "".join(pieces)
    status = "incomplete" if incomplete_reason else "completed"
    numbered = _Numbered()

    for name in ("response.created", "response.in_progress"):
        yield 0, numbered.block(name, response=_response(request, "in_progress"))
    yield (
        0,
        numbered.block(
            "response.output_item.added", output_index=0, item=item.message("in_progress")
        ),
    )
    yield 0, numbered.block("response.content_part.added", **place, part=item.part(""))
    for before, piece in enumerate(pieces):
        yield before, numbered.block(f"response.{kind}.delta", **place, **item.delta(piece))
    count = len(pieces)
    if error is not None:
        yield count, _failure_block(numbered, request, error)
        return
    yield count, numbered.block(f"response.{kind}.done", **place, **item.done(whole))
    yield count, numbered.block("response.content_part.done", **place, part=item.part(whole))
    message = item.message(status, whole)
    yield count, numbered.block("response.output_item.done", output_index=0, item=message)
    if not omit_terminal:
        details = {"reason": incomplete_reason} if incomplete_reason else None
        response = _response(
            request, status, output=[message], incomplete_details=details, usage=_usage(usage)
        )
        yield count, numbered.block(f"response.{status}", response=response)


def chat_events(
    request: Mapping[str, Any],
    pieces: Sequence[str],
    *,
    refuses: bool,
    incomplete_reason: str | None,
    usage: Mapping[str, int],
    omit_terminal: bool,
    error: Mapping[str, Any] | None,
) -> Blocks:
    """Yield the blocks of a completion's stream, each with the number of pieces before it."""
    wants_usage = bool((request.get("stream_options") or {}).get("include_usage"))

    def chunk(delta: dict[str, Any] | None, reason: str | None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": _CREATED_AT,
            "model": request.get("model", "test-model"),
            "service_tier": "default",
            "system_fingerprint": "fp_1",
            "choices": [] if delta is None else [choice],
            **({"usage": None} if wants_usage else {}),
            **more,
        }
        return _data(body)

    yield 0, chunk({"role": "assistant", "content": "", "refusal": None}, None)
    for before, piece in enumerate(pieces):
        yield before, chunk({"refusal" if refuses else "content": piece}, None)
    count = len(pieces)
    if error is not None:
        full = {"message": "Scripted.", "type": "server_error", "param": None, "code": None}
        yield count, _data({"error": {**full, **error}})
        return
    if omit_terminal:
        return
    reason = {"max_output_tokens": "length", None: "stop"}.get(incomplete_reason, incomplete_reason)
    yield count, chunk({}, reason)
    if wants_usage:
        counts = {
            "prompt_tokens": usage["input"],
            "completion_tokens": usage["output"],
            "total_tokens": usage["total"],
        }
        yield count, chunk(None, None, usage=counts)
    yield count, b"data: [DONE]\n\n"


class _Numbered:
    """Writes the blocks of a response, counting them as the API does."""

    def __init__(self) -> None:
        self._number = 0

    def block(self, event_type: str, **fields: Any) -> bytes:
        body = {"type": event_type, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {event_type}\n".encode() + _data(body)


class _Item:
    """The one message of a response: its parts are text or a refusal."""

    def __init__(self, kind: str) -> None:
        self._is_refusal = kind == "refusal"

    def part(self, text: str) -> dict[str, Any]:
        if self._is_refusal:
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def delta(self, text: str) -> dict[str, Any]:
        return {"delta": text} | ({} if self._is_refusal else {"logprobs": []})

    def done(self, text: str) -> dict[str, Any]:
        return {"refusal": text} if self._is_refusal else {"text": text, "logprobs": []}

    def message(self, status: str, text: str | None = None) -> dict[str, Any]:
        return {
            "id": _ITEM_ID,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [] if text is None else [self.part(text)],
        }


def _failure_block(
    numbered: _Numbered, request: Mapping[str, Any], error: Mapping[str, Any]
) -> bytes:
    """Return `response.failed`, or the bare `error` event where the script has a `param`."""
    full = {"code": "server_error", "message": "Scripted.", **error}
    if "param" in error:
        return numbered.block("error", **full)
    return numbered.block("response.failed", response=_response(request, "failed", error=full))


def _response(request: Mapping[str, Any], status: str, **changed: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": _CREATED_AT,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": None,
        "model": request.get("model", "test-model"),
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": request.get("safety_identifier"),
        "service_tier": "default",
        "store": request.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
        **changed,
    }


def _usage(usage: Mapping[str, int]) -> dict[str, Any]:
    return {
        "input_tokens": usage["input"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage["output"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total"],
    }


def _data(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
