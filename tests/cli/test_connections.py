"""What may come by a connection before anybody is known, and how slowly."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gpt_assistant_api.api.guard import SAFE_HEADERS
from gpt_assistant_api.cli import connections
from gpt_assistant_api.cli.connections import MAX_HEAD_BYTES, SLOWEST_BYTES, Connection
from gpt_assistant_api.cli.listeners import bind

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body, a little at a time."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(5):
        await send({"type": "http.response.body", "body": b"%d " % length, "more_body": True})
        await asyncio.sleep(2 * connections.LOOK_SECONDS)
    await send({"type": "http.response.body", "body": b"done"})


@asynccontextmanager
async def listening() -> AsyncGenerator[int, None]:
    """Serve `echo` by such connections, and give the port."""
    config = uvicorn.Config(
        echo, http=Connection, log_config=None, lifespan="off", ws="none",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with bind("127.0.0.1", 0) as listener:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


async def exchange(port: int, *pieces: bytes, pause_seconds: float = 0) -> bytes:
    """Send pieces until something is answered, and return all that is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answering = asyncio.ensure_future(reader.read(1))
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            done, _ = await asyncio.wait([answering], timeout=pause_seconds)
            if done:
                break
    answer = b""
    with suppress(ConnectionError):
        answer = await asyncio.wait_for(answering, 20)
        answer += await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


def problem_in(answer: bytes) -> dict[str, Any]:
    """Return the problem document, after a look at the headers around it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    for name, value in SAFE_HEADERS:
        assert b"\r\n%b: %b" % (name, value) in head
    assert b"connection: close" in head.lower()
    problem: dict[str, Any] = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % problem["status"])
    return problem


@pytest.fixture
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.1)


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        HEAD + b"X: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused_in_the_form_of_all_errors(
    sent: bytes,
) -> None:
    async with listening() as port:
        problem = problem_in(await exchange(port, sent))
    assert (problem["status"], problem["code"]) == (400, "request_malformed")


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"X: %b\r\n\r\n" % (b"x" * MAX_HEAD_BYTES)],
        [HEAD, *[b"X: %b\r\n" % (b"x" * 8_000)] * 50],
        [HEAD + b"X: ", *[b"x" * 8_000] * 50],
        [b"GET /?%b HTTP/1.1\r\n\r\n" % (b"x" * MAX_HEAD_BYTES)],
    ],
)
async def test_a_head_without_end_is_refused(pieces: list[bytes]) -> None:
    async with listening() as port:
        answer = await exchange(port, *pieces)
    if answer:  # whoever still sends when the connection is closed may miss it
        assert problem_in(answer)["code"] in {"head_too_large", "request_malformed"}


@pytest.mark.usefixtures("short_looks")
async def test_a_head_or_body_that_comes_too_slowly_is_given_up() -> None:
    slow = [b"x"] * 40
    async with listening() as port:
        head = await exchange(port, HEAD + b"X: ", *slow, pause_seconds=0.02)
        body = await exchange(port, HEAD + b"Content-Length: 99\r\n\r\n", *slow, pause_seconds=0.02)
        assert await exchange(port) == b"", "who says nothing is told nothing"
    assert [problem_in(answer)["code"] for answer in (head, body)] == ["request_too_slow"] * 2


@pytest.mark.usefixtures("short_looks")
async def test_an_answer_takes_as_long_as_it_takes_and_a_body_that_comes_on_as_well() -> None:
    body = b"x" * 40 * SLOWEST_BYTES
    pieces = [body[at : at + SLOWEST_BYTES] for at in range(0, len(body), SLOWEST_BYTES)]
    head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with listening() as port:
        answer = await exchange(port, head, *pieces, pause_seconds=0.01)
    assert answer.count(b"%d " % len(body)) == 5
    assert b"done" in answer


def test_a_client_that_is_gone_without_a_word_is_noticed_within_a_minute() -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("this system has no such timeout")
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                option = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert option == 60_000
