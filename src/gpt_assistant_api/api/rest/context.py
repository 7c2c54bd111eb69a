"""What every route of this face is handed: who speaks, the opened parts, errors to expect."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator
from pydantic.json_schema import SkipJsonSchema
from structlog.contextvars import bind_contextvars

from gpt_assistant_api.api.rest.problems import MEDIA_TYPE
from gpt_assistant_api.api.rest.rules import GuardedRoute
from gpt_assistant_api.domain.errors import NotFoundError
from gpt_assistant_api.domain.ids import is_id

USER_ID_PATTERN = r"^(?!\s|\.{1,2}$)[^/\\\x00-\x1f\x7f-\x9f\ufffd]*(?<!\s)$"

_MEANINGS = {
    400: "The body cannot be read.",
    401: "No valid key or token.",
    403: "The token is another user's, or the request comes from a foreign page.",
    404: "It does not exist, or is another user's.",
    409: "The state of the thing does not allow it.",
    413: "The body is too large, or the user has no room for the file.",
    415: "The type is not accepted.",
    416: "The range lies outside the file.",
    422: "A field is wrong; `errors` says which.",
    429: "Too many requests, runs, streams or tokens; see Retry-After.",
    500: "The server failed.",
    502: "The model server failed; the question is kept, `/regenerate` tries again.",
    503: "A part behind the server does not answer, or the model server asks to wait.",
    504: "The model server took too long.",
}


def router(tag: str) -> APIRouter:
    """Return a router whose operations obey their rules and show under one heading."""
    return APIRouter(route_class=GuardedRoute, tags=[tag])


def responses(
    *statuses: int, ok: Mapping[int, Mapping[str, Any]] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the errors that an operation can give, and of `ok`."""
    everywhere = {401, 403, 422, 429, 500, 503}
    described: dict[int | str, dict[str, Any]] = {
        status: dict(description) for status, description in (ok or {}).items()
    }
    for status in sorted(everywhere | set(statuses)):
        described[status] = {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
        }
    return described


def _known_thread_id(thread_id: str) -> str:
    if not is_id("thread", thread_id):
        raise NotFoundError("There is no such thread.", code="thread_not_found")
    bind_contextvars(thread_id=thread_id)
    return thread_id


def _known_run_id(run_id: str) -> str:
    if not is_id("run", run_id):
        raise NotFoundError("There is no such run.", code="run_not_found")
    bind_contextvars(run_id=run_id)
    return run_id


# An id that is none is refused before anything else that is wrong.
ThreadId = Annotated[
    str,
    Path(examples=["thread_5d41402abc4b2a76b9719d911017c592"]),
    AfterValidator(_known_thread_id),
]
RunId = Annotated[
    str,
    Path(examples=["run_7d793037a0760186574b0282f2f435e7"]),
    AfterValidator(_known_run_id),
]
# A parameter that is left out; its description must not offer null, which no URL can say.
Absent = SkipJsonSchema[None]
# The pattern is for readers of the description: `checked_user_id` decides.
UserId = Annotated[
    str,
    Path(
        description="The application's own id.",
        examples=["ada"],
        json_schema_extra={"pattern": USER_ID_PATTERN, "minLength": 1, "maxLength": 255},
    ),
]
Limit = Annotated[int, Query(ge=1, le=100, description="How many a page.")]
Cursor = Annotated[str | Absent, Query(max_length=200, description="`next_cursor` of a page.")]
