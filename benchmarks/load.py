"""The client that loads the servers: a bare protocol, so that it is never what is measured.

A connection makes one request after the other. An answer is taken whole, or as a stream whose marks
are read as they come: each tells when the model server sent it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from benchmarks.measure import BenchmarkError
from benchmarks.model_server import DIGITS, MARK

_LAST_CHUNK = b"0\r\n\r\n"


class Answer:
    """An answer as it comes."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ended = 0.0
        self.done = False
        self.status = 0
        self.body = bytearray()
        self._head = b""
        self._length: int | None = None

    @property
    def seconds(self) -> float:
        """From the request to the answer's last byte."""
        return self.ended - self.began

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        if not self.status:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self.status = int(head[9:12])
            self._read_length(head)
        self._take(data)
        if self._is_complete():
            self.ended = time.monotonic()
            self.done = True

    def json(self) -> Any:
        """Return the body as JSON."""
        return orjson.loads(self._unchunked() if self._length is None else bytes(self.body))

    def _read_length(self, head: bytes) -> None:
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                self._length = int(line[15:])

    def _take(self, data: bytes) -> None:
        self.body += data

    def _is_complete(self) -> bool:
        if self._length is not None:
            return len(self.body) >= self._length
        return self.body.endswith(_LAST_CHUNK)

    def _unchunked(self) -> bytes:
        whole, rest = b"", bytes(self.body)
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if not (length := int(size, 16)):
                return whole
            whole, rest = whole + rest[:length], rest[length + 2 :]


class Download(Answer):
    """An answer of which only the size matters."""

    size = 0

    def _take(self, data: bytes) -> None:
        self.size += len(data)

    def _is_complete(self) -> bool:
        return self.size >= (self._length or 0)


class Stream(Answer):
    """An answer in deltas: `lateness` holds the seconds from the model server's send to here."""

    def __init__(self, deltas: int) -> None:
        super().__init__()
        self.lateness: list[float] = []
        self.first_delta_at = 0.0
        self.last_delta_at = 0.0
        self._deltas = deltas
        self._cut = b""
        self._last_bytes = b""

    @property
    def count(self) -> int:
        """How many deltas have come."""
        return len(self.lateness)

    def _take(self, data: bytes) -> None:
        self._last_bytes = (self._last_bytes + data)[-len(_LAST_CHUNK) :]
        if self.count == self._deltas:  # what comes after the deltas may repeat the text
            return
        parts = (self._cut + data).split(MARK)
        self._cut = b""
        if len(parts) > 1 and len(parts[-1]) < DIGITS:
            self._cut = MARK + parts.pop()
        now = time.monotonic()
        for part in parts[1:]:
            if self.count < self._deltas:
                self.lateness.append(now - int(part[:DIGITS]) / 1e6)
                self.last_delta_at = now
        if not self.first_delta_at and self.lateness:
            self.first_delta_at = now

    def _is_complete(self) -> bool:
        return self._last_bytes == _LAST_CHUNK


class Connection(asyncio.Protocol):
    """One connection to a server, kept open between requests."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._transport: Any = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, "127.0.0.1", port)
        return connection

    async def ask(self, request: bytes, answer: Answer) -> None:
        """Send a request and wait for the end of its answer."""
        self._answer = answer
        self._waiter = asyncio.get_running_loop().create_future()
        answer.began = time.monotonic()
        self._transport.write(request)
        await self._waiter
        if answer.status not in {200, 201}:
            raise BenchmarkError(f"status {answer.status}: {bytes(answer.body[:500])!r}")

    def pause(self) -> None:
        """Read nothing for now."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """Remember whom to ask."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand on what comes."""
        if self._answer is not None and self._waiter is not None:
            self._answer.feed(data)
            if self._answer.done and not self._waiter.done():
                self._waiter.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell whoever waits that nothing more comes."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(BenchmarkError("The server hung up."))


def get(path: str) -> bytes:
    """Return the bytes of a GET."""
    return b"GET %b HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n" % path.encode()


def post(path: str, body: dict[str, Any]) -> bytes:
    """Return the bytes of a POST of JSON."""
    return post_bytes(path, orjson.dumps(body), "application/json")


def post_bytes(path: str, body: bytes, content_type: str) -> bytes:
    """Return the bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def addressed(request: bytes, port: int) -> bytes:
    """Return the request with the port in it, which a server in open mode looks at."""
    return request.replace(b"localhost:PORT", b"localhost:%d" % port, 1)


async def once(port: int, request: bytes) -> Answer:
    """Make one request on a connection of its own."""
    connection = await Connection.open(port)
    answer = Answer()
    await connection.ask(addressed(request, port), answer)
    connection.close()
    return answer


async def in_turns(
    port: int, requests: Sequence[bytes], *, at_once: int, kind: Callable[[], Answer] = Answer
) -> list[Answer]:
    """Make all requests, so many at once, each connection one after the other."""
    left = [addressed(request, port) for request in reversed(requests)]
    answers: list[Answer] = []

    async def work() -> None:
        connection = await Connection.open(port)
        while left:
            request = left.pop()
            answer = kind()
            await connection.ask(request, answer)
            answers.append(answer)
        connection.close()

    await asyncio.gather(*(work() for _ in range(at_once)))
    return answers


async def streams(
    port: int, requests: Sequence[bytes], *, deltas: int, begin_within: float
) -> list[Stream]:
    """Open one stream a request, their beginnings spread evenly, and read them to their ends."""
    began = time.monotonic()

    async def watch(number: int, request: bytes) -> Stream:
        connection = await Connection.open(port)
        due = began + begin_within * number / len(requests)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        stream = Stream(deltas)
        await connection.ask(addressed(request, port), stream)
        connection.close()
        if stream.count != deltas:
            raise BenchmarkError(f"{stream.count} of {deltas} deltas came")
        return stream

    return await asyncio.gather(*(watch(n, request) for n, request in enumerate(requests)))


async def repeatedly(seconds: float, action: Callable[[], Awaitable[object]]) -> int:
    """Do something over and over for some seconds; return how often."""
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        await action()
        count += 1
    return count
