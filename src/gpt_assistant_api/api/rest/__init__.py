"""The conversation API: a FastAPI application of its own over the opened parts."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gpt_assistant_api.api.access import Access
from gpt_assistant_api.api.guard import OpenModeGuard
from gpt_assistant_api.api.rest import (
    asks,
    docs,
    files,
    messages,
    operations,
    pages,
    problems,
    runs,
    threads,
    usage,
    users,
)
from gpt_assistant_api.api.rest.methods import PathMethods
from gpt_assistant_api.api.rest.rates import HEADERS
from gpt_assistant_api.api.rest.rules import RULES, Rule
from gpt_assistant_api.api.rest.schemas import ProblemOut
from gpt_assistant_api.api.web import WebPage
from gpt_assistant_api.runtime import Runtime

_DESCRIPTION = """
Threads, messages, files and runs of an application's users, kept in the operator's own database and
answered by any model server.

- **Who**: `Authorization: Bearer <key>` acts for any `user_id`, a user's JWT for its `sub`.
- **Errors** are `application/problem+json` with a stable `code`.
- **Limits**: where requests are limited, `RateLimit` says what is left; over a limit the answer is
  429 with `Retry-After`.
- **Pages**: `limit` and `cursor`; `next_cursor` is null on the last page.
- **Streams** are server-sent events; reconnect with `Last-Event-ID` to miss nothing.
"""
_TAGS = [
    {"name": "Conversations", "description": "Ask, and ask again."},
    {"name": "Threads", "description": "A user's conversations and what was said in them."},
    {"name": "Runs", "description": "One generation of one answer: watch it, stop it."},
    {"name": "Files", "description": "Images: JPEG, PNG, GIF, WEBP."},
    {"name": "Users", "description": "Everything of one user."},
    {"name": "Operations", "description": "For whoever runs the server."},
]
_PAGES = ["/", "/docs", "/assets/{name:path}", "/openapi.json"]


def create_app(*, telemetry: dict[str, Any], home: WebPage) -> FastAPI:
    """Return the application; `attach` hands it the opened parts before the first request.

    `home` is the page at `/`.
    """
    app = FastAPI(
        title="GPT Assistant API",
        version=version("gpt-assistant-api"),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        telemetry=telemetry,  # type: ignore[arg-type] # a typed dict that is not exported
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    problems.install(app)
    for module in (asks, threads, messages, runs, files, usage, users, operations, docs, pages):
        # Their routes by themselves: a router within a router looks for each match twice.
        app.router.routes.extend(module.routes.routes)
    _complete_description(app)
    app.state.pages = pages.Pages({"/": home, "/docs": docs.docs_page()})
    app.state.methods = PathMethods(app.openapi(), _PAGES)
    return app


def attach(app: FastAPI, runtime: Runtime) -> None:
    """Give the application the parts that it serves."""
    app.state.runtime = runtime
    app.state.access = Access(runtime)


def guarded(app: FastAPI) -> ASGIApp:
    """Return the application behind the guard of open mode, where it is in open mode."""
    guard = OpenModeGuard(app, refuse=problems.refuse, pages=["/", "/docs"])

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] != "lifespan" and app.state.runtime.open_mode
        await (guard if is_open else app)(scope, receive, send)

    return serve


def _complete_description(app: FastAPI) -> None:
    """Add to the OpenAPI document what the routes cannot say: credentials and the error shape."""
    document = app.openapi()
    components = document.setdefault("components", {})
    shape = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    components["schemas"] |= {**shape.pop("$defs", {}), "ProblemOut": shape}
    components["headers"] = {
        **HEADERS,
        "Retry-After": {
            "description": "After how many seconds to try again.",
            "schema": {"type": "integer", "minimum": 0, "examples": [5]},
        },
    }
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A service key, or a user's JWT. Nothing is needed in open mode.",
        }
    }
    for operations_of in document["paths"].values():
        for operation in operations_of.values():
            rule = RULES[operation["operationId"]]
            if rule is not Rule.PUBLIC:
                operation["security"] = [{"bearer": []}, *([{}] if rule is Rule.LINK else [])]
                _describe_headers(operation["responses"])


def _describe_headers(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        names = [*HEADERS, *(["Retry-After"] if status in {"429", "503"} else [])]
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
