"""What model servers report when they fail, as our own refusals.

The texts are ours: what a server sends may hold prompts, keys or addresses, so it is looked at
and never repeated.
"""

import re
from typing import Any

import msgspec

from gpt_assistant_api.domain.errors import (
    ContextTooLongError,
    ModelError,
    ModelRateLimitedError,
)

_CONTENT_FILTER_MARKS = {
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
}
_CONTEXT_MARKS = {"context_length_exceeded", "exceed_context_size_error"}
_RATE_MARKS = {"rate_limit_exceeded", "rate_limit_error", "too_many_requests"}

# OpenAI, vLLM old and new, llama.cpp old and new, Ollama, TGI, Anthropic behind a gateway.
_CONTEXT_TEXT = re.compile(
    r"maximum context length|model's context length|exceeds? (the|maximum|your)? ?(available )?"
    r"context|context size has been exceeded|longer than the maximum model length"
    r"|prompt is too long|`inputs` tokens \+ `max_new_tokens`|input exceeds the context"
)
_TEXT_LOOKED_AT = 4_096


class QuotaExceededError(ModelError):
    """The account has run dry: waiting does not help."""


class ParameterRefusedError(ModelError):
    """The server does not know `stream_options`, which older ones refuse."""


def read_failure(
    body: bytes, *, status: int | None = None, retry_after_seconds: int | None = None
) -> ModelError:
    """Return the refusal for an error body of any form: JSON, HTML, plain text or nothing."""
    try:
        payload: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        payload = body[:_TEXT_LOOKED_AT].decode("utf-8", "replace")
    return model_failure(payload, status=status, retry_after_seconds=retry_after_seconds)


def model_failure(
    payload: Any, *, status: int | None = None, retry_after_seconds: int | None = None
) -> ModelError:
    """Return the refusal for what a server says of its failure.

    `payload` is the whole JSON or its `error` member. Without a `status`, as in the middle of a
    stream, a numeric `code` stands in for it.
    """
    marks, text = _described(payload)
    if status is None:
        status = next((int(mark) for mark in marks if re.fullmatch("[45][0-9]{2}", mark)), None)
    if status in {401, 403}:
        return ModelError("The model server refused the operator's OPENAI_API_KEY.")
    if "insufficient_quota" in marks:
        return QuotaExceededError(
            "The account of the operator's OPENAI_API_KEY has no quota left at the model server."
        )
    if status == 429 or marks & _RATE_MARKS:
        message = "The model server asks for fewer requests."
        if retry_after_seconds is None:
            return ModelRateLimitedError(message)
        return ModelRateLimitedError(message, retry_after_seconds=retry_after_seconds)
    if marks & _CONTENT_FILTER_MARKS:
        return ModelError(
            "The model server's content filter refused the conversation.", code="content_filter"
        )
    if status == 413 or marks & _CONTEXT_MARKS or _CONTEXT_TEXT.search(text):
        return ContextTooLongError("The conversation is too long for the model.")
    if status == 404 or "model_not_found" in marks:
        return ModelError(
            "The model server knows no such model or path: check MODEL and OPENAI_BASE_URL."
        )
    return _by_status(status, text)


def _by_status(status: int | None, text: str) -> ModelError:
    if status in {400, 422} and "stream_options" in text:
        return ParameterRefusedError("The model server does not know stream_options.")
    match status:
        case None:
            return ModelError(
                "The model server reported a failure instead of finishing its answer."
            )
        case _ if 300 <= status < 400:
            return ModelError(
                "The model server answered with a redirect, which is not followed: "
                "check OPENAI_BASE_URL."
            )
        case _ if 400 <= status < 500:
            return ModelError(f"The model server refused the request (status {status}).")
        case _ if status >= 500:
            return ModelError(f"The model server failed (status {status}).")
        case _:
            return ModelError(f"The model server gave no answer (status {status}).")


def _described(payload: Any) -> tuple[set[str], str]:
    """Return the codes and types, and the words, whatever JSON they came in; all in lower case."""
    error = payload.get("error") or payload if isinstance(payload, dict) else payload
    if not isinstance(error, dict):
        return set(), str(error)[:_TEXT_LOOKED_AT].lower()
    inner = error.get("innererror")
    found = [error.get("code"), error.get("type")]
    found += [inner.get("code")] if isinstance(inner, dict) else []
    marks = {str(mark)[:100].lower() for mark in found if mark is not None}
    words = f"{error.get('message')} {error.get('param')}"
    return marks, words[:_TEXT_LOOKED_AT].lower()
