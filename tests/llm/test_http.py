"""Every fault of a model server has one clear ending, and the connection ends with the answer."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gpt_assistant_api.domain.errors import (
    ConfigurationError,
    ContextTooLongError,
    ErrorCode,
    ModelError,
    ModelRateLimitedError,
    ModelTimeoutError,
)
from gpt_assistant_api.llm import Delta, ModelServer, http
from tests.llm.builders import APIS, QUESTION, SETTINGS, Api, collect, make_server
from tests.model_server import Answer, ModelServerSimulation

pytestmark = pytest.mark.parametrize("api", APIS)

SOON = {"retry-after-ms": "1"}
SECRET = "upstream-secret sk-test-key http://10.1.2.3/"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_FIRST_PAUSE_SECONDS", 0.001)


def error(code: Any = None, message: str = SECRET, kind: str = "invalid_request_error") -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


async def failure_of(server: ModelServer) -> tuple[str, ModelError]:
    """Return the text that came before the failure, and the failure."""
    pieces: list[str] = []
    with pytest.raises(ModelError) as failed:
        await gather(server, pieces)
    await server.close()
    assert not any(word in failed.value.message for word in SECRET.split())
    return "".join(pieces), failed.value


async def gather(server: ModelServer, pieces: list[str]) -> None:
    async for item in server.stream(QUESTION, SETTINGS):
        assert isinstance(item, Delta)
        pieces.append(item.text)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_a_failure_that_may_pass_is_tried_again_twice(
    upstream: ModelServerSimulation, api: Api, status: int
) -> None:
    failing = Answer(status=status, headers=SOON)
    upstream.script(failing, failing, Answer(text="Here."))
    server = make_server(upstream.url, api)
    assert (await collect(server.stream(QUESTION, SETTINGS)))[0] == "Here."
    upstream.script(failing, failing, failing)
    _, failure = await failure_of(server)
    assert len(upstream.requests) == 6
    assert isinstance(failure, ModelRateLimitedError) == (status == 429)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, error(), ModelError, "model_error"),
        (401, error("invalid_api_key"), ModelError, "model_error"),
        (403, "<html>" + SECRET, ModelError, "model_error"),
        (404, error("model_not_found"), ModelError, "model_error"),
        (418, b"\xff\x00", ModelError, "model_error"),
        (422, {"detail": [SECRET]}, ModelError, "model_error"),
        (204, None, ModelError, "model_error"),
        (413, "", ContextTooLongError, "context_too_long"),
        (400, error("context_length_exceeded"), ContextTooLongError, "context_too_long"),
        (
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 8 tokens.",
                "type": "BadRequestError",
                "code": 400,
            },
            ContextTooLongError,
            "context_too_long",
        ),
        (
            400,
            error(
                400, "However, the model's context length is only 1024 tokens", "BadRequestError"
            ),
            ContextTooLongError,
            "context_too_long",
        ),
        (
            400,
            error(400, "request (9 tokens) exceeds the available context size (4 tokens)"),
            ContextTooLongError,
            "context_too_long",
        ),
        (
            500,
            error(500, "Context size has been exceeded.", "server_error"),
            ContextTooLongError,
            "context_too_long",
        ),
        (
            400,
            error(None, "Your input exceeds the context window of this model."),
            ContextTooLongError,
            "context_too_long",
        ),
        (
            500,
            error(None, "the input length exceeds the context length"),
            ContextTooLongError,
            "context_too_long",
        ),
        (400, error("content_filter"), ModelError, "content_filter"),
        (429, error("insufficient_quota", kind="insufficient_quota"), ModelError, "model_error"),
        (503, "<html>down</html>", ModelError, "model_error"),
    ],
)
async def test_a_failure_that_stays_is_named_and_not_tried_again(
    upstream: ModelServerSimulation,
    api: Api,
    status: int,
    body: Any,
    kind: type[ModelError],
    code: ErrorCode,
) -> None:
    headers = {"x-should-retry": "false"} if status == 503 else {}
    upstream.script(Answer(status=status, body=body, headers=headers))
    _, failure = await failure_of(make_server(upstream.url, api))
    assert isinstance(failure, kind)
    assert not isinstance(failure, ModelRateLimitedError)
    assert failure.code == code
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("date", [False, True])
async def test_a_long_retry_after_is_handed_on_instead_of_waited_for(
    upstream: ModelServerSimulation, api: Api, date: bool
) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    upstream.script(Answer(status=429, headers={"retry-after": moment if date else "60"}))
    _, failure = await failure_of(make_server(upstream.url, api))
    assert isinstance(failure, ModelRateLimitedError)
    assert failure.retry_after_seconds is not None
    assert 50 < failure.retry_after_seconds <= 60
    assert len(upstream.requests) == 1


async def test_the_server_may_ask_for_another_try(
    upstream: ModelServerSimulation, api: Api
) -> None:
    upstream.script(Answer(status=400, headers={"x-should-retry": "true", **SOON}), Answer())
    server = make_server(upstream.url, api)
    await collect(server.stream(QUESTION, SETTINGS))
    await server.close()
    assert len(upstream.requests) == 2


async def test_a_reset_before_the_answer_is_tried_again(
    upstream: ModelServerSimulation, api: Api
) -> None:
    upstream.script(Answer(reset=True), Answer(reset=True), Answer(text="Here."))
    server = make_server(upstream.url, api)
    assert (await collect(server.stream(QUESTION, SETTINGS)))[0] == "Here."
    upstream.default = Answer(reset=True)
    await failure_of(server)
    assert len(upstream.requests) == 6


async def test_nobody_listening_and_nobody_known_are_model_errors(api: Api) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        await failure_of(make_server(f"http://127.0.0.1:{port}/v1", api))
    await failure_of(make_server("http://nobody.invalid/v1", api))


async def test_a_server_without_tls_is_a_model_error_for_https(
    upstream: ModelServerSimulation, api: Api
) -> None:
    await failure_of(make_server(upstream.url.replace("http:", "https:"), api))


async def test_silence_before_the_headers_is_a_timeout_and_not_tried_again(
    upstream: ModelServerSimulation, api: Api
) -> None:
    upstream.default = Answer(pause_after=-1)
    _, failure = await failure_of(make_server(upstream.url, api, timeout_seconds=0.1))
    assert isinstance(failure, ModelTimeoutError)
    assert len(upstream.requests) == 1
    assert await upstream.requests[0].wait_closed()


async def test_silence_in_the_middle_is_a_timeout_after_the_text_so_far(
    upstream: ModelServerSimulation, api: Api
) -> None:
    upstream.script(Answer(text="abcdef", pieces=2, pause_after=2))
    text, failure = await failure_of(make_server(upstream.url, api, timeout_seconds=0.1))
    assert text == "abcd"
    assert isinstance(failure, ModelTimeoutError)
    assert await upstream.requests[0].wait_closed()


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (Answer(text="abcdef", pieces=2, cut_after=2), "abcd"),
        (Answer(text="abcdef", pieces=2, omit_terminal=True), "abcdef"),
        (Answer(text="abcdef", pieces=2, error_event={"code": "server_error"}), "abcdef"),
        (Answer(text="abcdef", pieces=2, error_event={"code": 500, "param": SECRET}), "abcdef"),
        (Answer(cut_after=0), ""),
        (Answer(raw=b""), ""),
        (Answer(raw=b"<html>not found</html>"), ""),
        (Answer(raw=b"data: {broken\n\n"), ""),
        (Answer(raw=b"data: " + b"[" * 100_000 + b"\n\n"), ""),
        (Answer(raw=b": still thinking\n\n" * 9), ""),
        (Answer(raw=b"data: " + b"x" * 9_000_000), ""),
        (Answer(raw=b"x", headers={"Content-Encoding": "gzip"}), ""),
        (Answer(body="<html>Welcome</html>"), ""),
        (Answer(body={"id": "resp_1", "output": []}), ""),
        (Answer(body=error("server_error")), ""),
        (Answer(body=""), ""),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:9/"}), ""),
    ],
)
async def test_a_broken_answer_is_a_model_error_after_the_text_so_far_and_never_asked_again(
    upstream: ModelServerSimulation, api: Api, answer: Answer, kept: str
) -> None:
    upstream.script(answer)
    text, failure = await failure_of(make_server(upstream.url, api))
    assert (text, failure.code) == (kept, "model_error")
    assert len(upstream.requests) == 1


async def test_a_reset_in_the_middle_is_a_model_error(
    upstream: ModelServerSimulation, api: Api
) -> None:
    held = Answer(text="abcdef", pieces=2, pause_after=2, cut_after=3, reset=True)
    upstream.script(held)
    server = make_server(upstream.url, api)
    stream = server.stream(QUESTION, SETTINGS)
    assert await anext(stream) in {Delta("ab"), Delta("abcd")}
    held.release()
    with pytest.raises(ModelError, match="broke"):
        await collect(stream)
    await server.close()
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", ModelRateLimitedError),
        ("context_length_exceeded", ContextTooLongError),
    ],
)
async def test_a_failure_told_in_the_stream_keeps_its_kind(
    upstream: ModelServerSimulation, api: Api, code: str, kind: type[ModelError]
) -> None:
    upstream.script(Answer(error_event={"code": code, "message": SECRET, "param": None}))
    _, failure = await failure_of(make_server(upstream.url, api))
    assert isinstance(failure, kind)
    upstream.script(Answer(body=error(code)))
    _, failure = await failure_of(make_server(upstream.url, api))
    assert isinstance(failure, kind)


async def test_closing_the_stream_closes_the_connection(
    upstream: ModelServerSimulation, api: Api
) -> None:
    upstream.script(Answer(pause_after=1))
    server = make_server(upstream.url, api)
    stream = server.stream(QUESTION, SETTINGS)
    await anext(stream)
    await stream.aclose()
    assert await upstream.requests[0].wait_closed()
    await server.close()


@pytest.mark.parametrize("pause_after", [-1, 0, 1])
async def test_cancelling_the_task_closes_the_connection_whatever_it_waits_for(
    upstream: ModelServerSimulation, api: Api, pause_after: int
) -> None:
    upstream.script(Answer(pause_after=pause_after))
    server = make_server(upstream.url, api)
    task = asyncio.create_task(collect(server.stream(QUESTION, SETTINGS)))
    request = await upstream.wait_for_request()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await request.wait_closed()
    await server.close()


async def test_a_finished_answer_leaves_its_connection_for_the_next(
    upstream: ModelServerSimulation, api: Api
) -> None:
    server = make_server(upstream.url, api)
    for _ in range(3):
        await collect(server.stream(QUESTION, SETTINGS))
    assert not any(request.closed.is_set() for request in upstream.requests)
    assert len({request.peer for request in upstream.requests}) == 1
    await server.close()


async def test_the_key_goes_where_the_server_looks_for_it(
    upstream: ModelServerSimulation, api: Api
) -> None:
    path = "responses" if api == "responses" else "chat/completions"
    for url in (upstream.url, f"{upstream.url}/my%20deployment/?api-version=2026-01-01"):
        server = make_server(url, api)
        await collect(server.stream(QUESTION, SETTINGS))
        await server.close()
    plain, azure = upstream.requests
    assert (plain.path, plain.query) == (f"/v1/{path}", {})
    assert plain.headers["Authorization"] == "Bearer sk-test-key"
    assert azure.path == f"/v1/my deployment/{path}"
    assert azure.query == {"api-version": "2026-01-01"}
    assert azure.headers["api-key"] == "sk-test-key"
    assert "Authorization" not in azure.headers


@pytest.mark.parametrize(
    "url", ["x.example:80", "ftp://x/v1", "http://u:p@x/v1", "http:///v1", "["]
)
def test_an_address_that_cannot_be_used_is_refused_without_repeating_it(api: Api, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^OPENAI_BASE_URL: ") as refused:
        make_server(url, api)
    assert url not in str(refused.value)
