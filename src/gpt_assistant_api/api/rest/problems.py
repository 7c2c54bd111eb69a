"""Errors as RFC 9457 problem documents: the envelope of the conversation API."""

from collections.abc import Mapping
from typing import Any, cast

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from gpt_assistant_api.api.status import status_of, status_of_ending
from gpt_assistant_api.domain.errors import ErrorCode, RateLimitedError, Refusal, UnavailableError
from gpt_assistant_api.domain.runs import RunError

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    416: "Range not satisfiable",
    422: "Invalid request",
    429: "Too many requests",
    431: "Too large",
    500: "Internal error",
    502: "Model server error",
    503: "Unavailable",
    504: "Model server timeout",
}
# What the framework itself refuses. Nothing else of it is expected: another 4xx would be about a
# request that cannot be read, and anything above is a failure of ours.
_OF_FRAMEWORK: dict[int, tuple[ErrorCode, str]] = {
    400: ("body_malformed", "The body cannot be read."),
    404: ("path_not_found", "There is nothing at this path."),
    405: ("method_not_allowed", "This path does not know this method."),
    413: ("body_too_large", "The body is larger than this server accepts."),
    500: ("internal_error", "The server failed; it is logged."),
}

# Refusals that come before the body is read. The server would take all of it to reuse the
# connection, and a client that is cut off while it sends may miss the answer: so a short body is
# taken, and of a long one the connection is closed.
_UNREAD = {401, 403}
_TAKEN_ANYWAY_BYTES = 65_536

log = structlog.get_logger(__name__)


def install(app: FastAPI) -> None:
    """Have every error of the application leave as a problem document."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(ClientDisconnect, _broken_off)
    app.add_exception_handler(Exception, _crashed)


def problem(
    scope: Scope,
    status: int,
    code: ErrorCode,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """Return a problem document; `members` are what helps beyond the standard ones."""
    body = {
        "type": f"urn:gpt-assistant-api:error:{code}",
        "title": _TITLES[status],
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": scope.get("state", {}).get("request_id"),
        **members,
    }
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def problem_of(scope: Scope, refusal: Refusal) -> Response:
    """Return the problem document of a refusal."""
    status = status_of(refusal)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in _UNREAD and _leaves_much_unread(scope):
        headers["Connection"] = "close"
    if isinstance(refusal, RateLimitedError | UnavailableError):
        headers["Retry-After"] = str(refusal.retry_after_seconds)
    return problem(scope, status, refusal.code, refusal.message, headers=headers, **refusal.details)


def _leaves_much_unread(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    is_long = not length.isdigit() or int(length) > _TAKEN_ANYWAY_BYTES
    return is_long or b"transfer-encoding" in headers


def problem_of_ending(scope: Scope, error: RunError, **members: Any) -> Response:
    """Return the problem document for a caller who waited for a run that failed."""
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    status = status_of_ending(error.code)
    return problem(scope, status, error.code, error.detail, headers=headers, **members)


async def refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    """Answer a request from outside the routes with a refusal."""
    await problem_of(scope, refusal)(scope, receive, send)


def _refused(request: Request, error: Exception) -> Response:
    return problem_of(request.scope, cast("Refusal", error))


def _not_valid(request: Request, error: Exception) -> Response:
    # What is wrong stands at (where, name, ...); "or nothing at all" is no help to anybody.
    errors = [
        {
            "field": str(item["loc"][1] if len(item["loc"]) > 1 else item["loc"][0]),
            "message": item["msg"],
        }
        for item in cast("RequestValidationError", error).errors()
        if item["type"] != "none_required"
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors[:3])
    return problem(request.scope, 422, "invalid_request", detail, errors=errors)


def _of_framework(request: Request, error: Exception) -> Response:
    failure = cast("HTTPException", error)
    status = failure.status_code
    if status not in _OF_FRAMEWORK:
        status = 500 if status >= 500 else 400
    if status == 500:
        log.error("request failed", exc_info=error)
    code, detail = _OF_FRAMEWORK[status]
    headers = dict(failure.headers or {})
    if status == 405:
        headers["Allow"] = ", ".join(request.app.state.methods.allowed(request.scope["path"]))
    return problem(request.scope, status, code, detail, headers=headers)


def _broken_off(request: Request, _: Exception) -> Response:
    """Answer whoever hung up before the end of a body: nobody, and it is no failure of ours."""
    return problem(request.scope, 400, "body_malformed", "The body broke off.")


def _crashed(request: Request, error: Exception) -> Response:
    return problem(request.scope, 500, *_OF_FRAMEWORK[500])
