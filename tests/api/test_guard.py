import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
import uvicorn
from fastapi import FastAPI, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from gpt_assistant_api.api.guard import (
    OpenModeGuard,
    RequestContext,
    SecurityHeaders,
    is_loopback_host,
)
from gpt_assistant_api.domain.errors import Refusal
from gpt_assistant_api.telemetry import SILENT

Headers = list[tuple[str, str]]


class Answer:
    """What came over the socket."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            self.headers.setdefault(name.lower(), []).append(value)

    @property
    def verdict(self) -> tuple[int, str | None]:
        """The status, and the code of a refusal."""
        return self.status, json.loads(self.body)["code"] if self.status == 403 else None


async def refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    body = json.dumps({"code": refusal.code, "message": refusal.message}).encode()
    await Response(body, 403)(scope, receive, send)


def make_app() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.api_route("/", methods=["GET", "POST", "OPTIONS"])
    async def page() -> str:
        return "page"

    @app.api_route("/threads/{user_id}", methods=["GET", "POST", "OPTIONS"])
    async def list_threads(user_id: str) -> str:
        return user_id

    @app.get("/own-headers")
    async def own_headers() -> Response:
        own = {"Cross-Origin-Resource-Policy": "cross-origin", "Content-Security-Policy": "x"}
        return Response(headers=own)

    @app.get("/context")
    async def context() -> dict[str, Any]:
        return structlog.contextvars.get_contextvars()

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("a secret detail")

    return app


@contextmanager
def served(app: ASGIApp, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve in a thread; when this ends, every request has ended and is logged."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)
        )
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def open_port() -> Iterator[int]:
    with served(OpenModeGuard(make_app(), refuse=refuse)) as port:
        yield port


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(RequestContext(SecurityHeaders(make_app()), SILENT.metrics.requests)) as port:
        yield port


async def ask(
    port: int,
    headers: Headers,
    request: str = "GET /threads/ada HTTP/1.1",
    address: str = "127.0.0.1",
) -> Answer:
    """Send exactly these headers, with the port in place of PORT."""
    lines = [request, *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    reader, writer = await asyncio.open_connection(address, port)
    writer.write("\r\n".join([*lines, "", ""]).replace("PORT", str(port)).encode("latin-1"))
    answer = Answer(await reader.read())
    writer.close()
    await writer.wait_closed()
    return answer


LOCAL: Headers = [("Host", "localhost:PORT")]


@pytest.mark.parametrize(
    "host", ["localhost:PORT", "127.0.0.1:PORT", "[::1]:PORT", "LocalHost:PORT"]
)
async def test_open_mode_answers_under_the_names_of_this_machine(open_port: int, host: str) -> None:
    assert (await ask(open_port, [("Host", host)])).verdict == (200, None)


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["localhost"],
        ["127.0.0.1"],
        ["localhost:"],
        ["localhost:80"],
        ["localhost:0PORT"],
        ["localhost:PORT:PORT"],
        ["localhost.:PORT"],
        ["localhost.evil.test:PORT"],
        ["evil.test:PORT"],
        ["evil.test"],
        ["127.0.0.1.evil.test:PORT"],
        ["127.0.0.2:PORT"],
        ["127.1:PORT"],
        ["0.0.0.0:PORT"],
        ["::1:PORT"],
        ["[::]:PORT"],
        ["[::ffff:127.0.0.1]:PORT"],
        ["ada@localhost:PORT"],
        ["localhost:PORT, evil.test"],
        ["localhost:PORT", "evil.test"],
        ["localhost:PORT", "localhost:PORT"],
    ],
    ids=repr,
)
async def test_open_mode_answers_under_no_other_name(open_port: int, hosts: list[str]) -> None:
    answer = await ask(open_port, [("Host", host) for host in hosts], "GET / HTTP/1.0")
    assert answer.verdict == (403, "host_refused")
    assert b"evil" not in answer.body


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:PORT",
        "http://127.0.0.1:PORT",
        "http://[::1]:PORT",
        "https://localhost:PORT",
    ],
)
async def test_open_mode_answers_to_its_own_pages(open_port: int, origin: str) -> None:
    headers = [*LOCAL, ("Origin", origin), ("Sec-Fetch-Site", "same-origin")]
    assert (await ask(open_port, headers)).verdict == (200, None)


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "origins",
    [
        ["null"],
        [""],
        ["https://evil.test"],
        ["http://evil.test:PORT"],
        ["http://localhost"],
        ["http://localhost:3000"],
        ["http://localhost.evil.test:PORT"],
        ["http://localhost:PORT/"],
        ["file://localhost:PORT"],
        ["localhost:PORT"],
        ["http://localhost:PORT", "https://evil.test"],
        ["http://localhost:PORT https://evil.test"],
    ],
    ids=repr,
)
async def test_open_mode_refuses_pages_from_elsewhere_and_invites_none(
    open_port: int, method: str, origins: list[str]
) -> None:
    preflight = [
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Private-Network", "true"),
    ]
    headers = [*LOCAL, *(("Origin", origin) for origin in origins), *preflight]
    answer = await ask(open_port, headers, f"{method} /threads/ada HTTP/1.1")
    assert answer.verdict == (403, "origin_refused")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "something-new"])
@pytest.mark.parametrize(
    ("request_line", "fetch", "status"),
    [
        ("GET / HTTP/1.1", NAVIGATE, 200),
        ("GET /?q=1 HTTP/1.1", NAVIGATE, 200),
        ("GET / HTTP/1.1", {}, 403),
        ("GET / HTTP/1.1", NAVIGATE | {"Sec-Fetch-Dest": "iframe"}, 403),
        ("GET / HTTP/1.1", NAVIGATE | {"Sec-Fetch-Mode": "no-cors"}, 403),
        ("POST / HTTP/1.1", NAVIGATE, 403),
        ("GET /threads/ada HTTP/1.1", NAVIGATE, 403),
    ],
)
async def test_from_another_site_only_a_link_to_a_page_may_be_followed(
    open_port: int, site: str, request_line: str, fetch: dict[str, str], status: int
) -> None:
    headers = [*LOCAL, ("Sec-Fetch-Site", site), *fetch.items()]
    answer = await ask(open_port, headers, request_line)
    assert answer.verdict == (status, "origin_refused" if status == 403 else None)


async def test_what_a_person_types_into_the_browser_is_answered(open_port: int) -> None:
    headers = [*LOCAL, ("Sec-Fetch-Site", "none"), *NAVIGATE.items()]
    assert (await ask(open_port, headers)).verdict == (200, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Forwarded", "for=127.0.0.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-For", ""),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Proto", "https"),
        ("x-forwarded-anything", "1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
        ("CF-Connecting-IP", "203.0.113.7"),
        ("True-Client-IP", "203.0.113.7"),
    ],
)
async def test_open_mode_refuses_what_a_proxy_forwards_and_says_what_to_do(
    open_port: int, name: str, value: str
) -> None:
    answer = await ask(open_port, [*LOCAL, (name, value)])
    assert answer.verdict == (403, "host_refused")
    assert "gpt-assistant-api keys create" in json.loads(answer.body)["message"]


async def test_open_mode_serves_ipv6_loopback() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    with served(OpenModeGuard(make_app(), refuse=refuse), "::1") as port:
        answer = await ask(port, [("Host", "[::1]:PORT")], address="::1")
        assert answer.verdict == (200, None)


async def verdict(**scope: Any) -> str:
    """What becomes of a connection that no test can open for real."""
    outcome = []

    async def app(*_: object) -> None:
        outcome.append("served")

    async def remember(_scope: Scope, _receive: Receive, _send: Send, refusal: Refusal) -> None:
        outcome.append(refusal.code)

    async def send(message: Message) -> None:
        outcome.append(message["type"])

    base = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "scheme": "http",
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"localhost")],
    }
    receive: Any = None
    await OpenModeGuard(app, refuse=remember)({**base, **scope}, receive, send)
    (only,) = outcome
    return only


@pytest.mark.parametrize(
    ("client", "outcome"),
    [
        ("127.0.0.1", "served"),
        ("127.8.9.10", "served"),
        ("::1", "served"),
        ("::ffff:127.0.0.1", "served"),
        ("::ffff:10.0.0.1", "host_refused"),
        ("10.0.0.1", "host_refused"),
        ("0.0.0.0", "host_refused"),
        ("::", "host_refused"),
        ("fe80::1%eth0", "host_refused"),
        ("localhost", "host_refused"),
        ("", "host_refused"),
    ],
)
async def test_only_a_client_with_a_loopback_address_is_local(client: str, outcome: str) -> None:
    assert await verdict(client=(client, 50_000)) == outcome


async def test_a_unix_socket_is_nobodys_address() -> None:
    assert await verdict(client=None, server=("/run/app.sock", None)) == "host_refused"
    assert await verdict(server=("/run/app.sock", None)) == "host_refused"
    assert await verdict(server=None) == "host_refused"


@pytest.mark.parametrize(
    ("scheme", "port", "headers", "outcome"),
    [
        ("http", 80, {"host": "localhost", "origin": "http://localhost"}, "served"),
        ("http", 80, {"host": "localhost:80", "origin": "http://localhost"}, "served"),
        ("https", 443, {"host": "localhost", "origin": "https://localhost"}, "served"),
        ("http", 80, {"host": "localhost", "origin": "https://localhost"}, "origin_refused"),
        ("https", 443, {"host": "localhost", "origin": "http://localhost"}, "origin_refused"),
        ("http", 443, {"host": "localhost"}, "host_refused"),
        ("http", 8_000, {"host": "localhost"}, "host_refused"),
    ],
)
async def test_the_port_may_be_left_out_where_it_is_the_schemes_own(
    scheme: str, port: int, headers: dict[str, str], outcome: str
) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert await verdict(scheme=scheme, server=("127.0.0.1", port), headers=pairs) == outcome


async def test_the_guard_holds_for_web_sockets_and_leaves_the_lifespan_alone() -> None:
    foreign = [(b"host", b"localhost"), (b"origin", b"https://evil.test")]
    assert await verdict(type="websocket", scheme="ws", headers=foreign) == "websocket.close"
    assert await verdict(type="lifespan", client=None, headers=[]) == "served"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("[::1]", True)),
        *(("localhost", True), ("LOCALHOST", True), ("::ffff:127.0.0.1", True)),
        *(("", False), ("0.0.0.0", False), ("::", False), ("[::]", False), ("*", False)),
        *(("192.168.1.2", False), ("localhost.test", False), ("my-host", False), ("127.1", False)),
        *(("::ffff:0.0.0.0", False), ("2130706433", False), ("0177.0.0.1", False)),
    ],
)
def test_listening_is_local_only_on_loopback_addresses(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


SAFE = {
    "x-content-type-options": ["nosniff"],
    "referrer-policy": ["no-referrer"],
    "cross-origin-opener-policy": ["same-origin"],
    "cross-origin-resource-policy": ["same-origin"],
    "content-security-policy": [
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ],
}


async def test_every_response_has_the_safe_headers_once() -> None:
    app = SecurityHeaders(OpenModeGuard(make_app(), refuse=refuse))
    with served(app) as port:
        answers = [
            await ask(port, LOCAL),
            await ask(port, LOCAL, "GET /nothing HTTP/1.1"),
            await ask(port, LOCAL, "PUT / HTTP/1.1"),
            await ask(port, LOCAL, "GET /crash HTTP/1.1"),
            await ask(port, [("Host", "evil.test")]),
        ]
    assert [answer.status for answer in answers] == [200, 404, 405, 500, 403]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SAFE} == SAFE
        (permissions,) = answer.headers["permissions-policy"]
        assert {"camera=()", "geolocation=()", "microphone=()"} <= set(permissions.split(", "))


async def test_a_header_that_a_response_sets_itself_is_kept(port: int) -> None:
    answer = await ask(port, LOCAL, "GET /own-headers HTTP/1.1")
    own = {"cross-origin-resource-policy": ["cross-origin"], "content-security-policy": ["x"]}
    assert {name: answer.headers[name] for name in SAFE} == SAFE | own


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 64])
async def test_a_request_id_from_outside_is_taken_over(port: int, given: str) -> None:
    answer = await ask(port, [*LOCAL, ("X-Request-Id", given)], "GET /context HTTP/1.1")
    assert answer.headers["x-request-id"] == [given]
    assert json.loads(answer.body) == {"request_id": given}


@pytest.mark.parametrize(
    "given", [[], [""], ["x" * 65], ["a b"], ["a\u00e9"], ["a;b"], ["{a}"], ["a", "b"]]
)
async def test_any_other_request_id_is_replaced_by_a_random_one(
    port: int, given: list[str]
) -> None:
    headers = [*LOCAL, *(("X-Request-Id", value) for value in given)]
    answers = [await ask(port, headers, "GET /context HTTP/1.1") for _ in range(2)]
    made = [answer.headers["x-request-id"][0] for answer in answers]
    assert len(set(made)) == 2
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in made)


async def test_each_request_is_logged_once_by_its_route_and_never_by_its_path() -> None:
    requests = [
        "GET /threads/ada?token=secret HTTP/1.1",
        "GET /secret/ada HTTP/1.1",
        "PUT /threads/ada HTTP/1.1",
        "GET /crash HTTP/1.1",
    ]
    with (
        capture_logs([structlog.contextvars.merge_contextvars]) as logs,
        served(RequestContext(make_app(), SILENT.metrics.requests)) as port,
    ):
        answers = [
            await ask(port, [*LOCAL, ("Cookie", "secret"), ("X-Request-Id", f"r{n}")], request)
            for n, request in enumerate(requests)
        ]
    assert [answer.status for answer in answers] == [200, 404, 405, 500]
    crashes = [entry for entry in logs if entry["event"] == "request crashed"]
    assert [entry["request_id"] for entry in crashes] == ["r3"]
    logs = [entry for entry in logs if entry not in crashes]
    assert all(entry.pop("seconds") >= 0 for entry in logs)
    line = {"event": "request", "log_level": "info"}
    assert logs == [
        line | {"method": "GET", "path": "/threads/{user_id}", "status": 200, "request_id": "r0"},
        line | {"method": "GET", "path": None, "status": 404, "request_id": "r1"},
        line | {"method": "PUT", "path": "/threads/{user_id}", "status": 405, "request_id": "r2"},
        line | {"method": "GET", "path": "/crash", "status": 500, "request_id": "r3"},
    ]


async def test_requests_at_the_same_time_keep_their_own_ids_and_leave_none_behind() -> None:
    met = asyncio.Barrier(3)
    lifespan_state: dict[str, Any] = {"shared": True}
    seen: dict[str, Any] = {}

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        await met.wait()
        name = scope["path"]
        seen[name] = scope["state"], structlog.contextvars.get_contextvars()["request_id"]

    def make_scope(name: str) -> Scope:
        headers = [(b"x-request-id", name.encode())]
        kind = {"type": "http", "method": "GET", "scheme": "http", "http_version": "1.1"}
        return {**kind, "path": name, "headers": headers, "state": lifespan_state}

    nothing: Any = None
    named = RequestContext(app, SILENT.metrics.requests)
    await asyncio.gather(*(named(make_scope(name), nothing, nothing) for name in "abc"))
    states = {name: {"shared": True, "request_id": name, "headers": {}} for name in "abc"}
    assert seen == {name: (states[name], name) for name in "abc"}
    assert lifespan_state == {"shared": True}
    assert structlog.contextvars.get_contextvars() == {}
