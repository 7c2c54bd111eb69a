"""A model server that costs next to nothing: bytes made beforehand, sent on a timer.

It speaks Chat Completions as far as the relays need it. `GET /plan?deltas=200&interval=0.02` says
what the next answers are like; with `hold=1` they fall silent instead of ending. Every delta tells
the moment at which it was sent: `~` and microseconds of the clock that all processes share.

    python -m benchmarks.model_server PORT
"""

import asyncio
import sys
import time
from typing import Any
from urllib.parse import parse_qsl

import uvloop

MODEL = "a-model"
MARK = b"~"
DIGITS = 14

_HEAD = b'{"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1795000000,'
_HEAD += b'"model":"%b","choices":' % MODEL.encode()
_USAGE = b'"usage":{"prompt_tokens":12,"completion_tokens":200,"total_tokens":212}'


def _sent(data: bytes) -> bytes:
    frame = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(frame), frame)


def _choice(delta: bytes, reason: bytes = b"null") -> bytes:
    choice = b'[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}' % (delta, reason)
    return _sent(_HEAD + choice)


_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + _choice(b'{"role":"assistant","content":""}')
)
_TEXT = b"~%s word, "
_DELTA = _choice(b'{"content":"' + _TEXT % (b"0" * DIGITS) + b'"}').replace(b"0" * DIGITS, b"%014d")
_END = (
    _choice(b"{}", b'"stop"')
    + _sent(_HEAD + b"[]," + _USAGE + b"}")
    + _sent(b"[DONE]")
    + b"0\r\n\r\n"
)
_MODELS = b'{"object":"list","data":[{"id":"%b","object":"model"}]}' % MODEL.encode()


class Plan:
    """What the answers are like."""

    deltas = 20
    interval = 0.0
    hold = False

    def change(self, query: bytes) -> None:
        """Take the values that a query names."""
        values = dict(parse_qsl(query.decode()))
        self.deltas = int(values.get("deltas", 20))
        self.interval = float(values.get("interval", 0))
        self.hold = values.get("hold") == "1"


class Talk(asyncio.Protocol):
    """One connection."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._left = 0
        self._interval = 0.0
        self._hold = False
        self._due = 0.0
        self._timer: asyncio.Handle | None = None

    def connection_made(self, transport: Any) -> None:
        """Remember whom to answer."""
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        """Stop speaking."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer a request once it is there in full."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received = b""
        path, _, query = head.split(b" ", 2)[1].partition(b"?")
        if path == b"/plan":
            self._plan.change(query)
            self._whole(b"{}")
        elif path.endswith(b"/models"):
            self._whole(_MODELS)
        elif b'"stream":true' in body.replace(b" ", b""):
            self._begin()
        else:
            self._whole(_completion(self._plan.deltas))

    def _whole(self, data: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(data), data)
        )

    def _begin(self) -> None:
        self._transport.write(_STREAM)
        self._left, self._interval = self._plan.deltas, self._plan.interval
        self._hold = self._plan.hold
        self._due = self._loop.time()
        self._speak()

    def _speak(self) -> None:
        self._transport.write(_DELTA % (time.monotonic_ns() // 1000))
        self._left -= 1
        if self._left:
            self._due += self._interval
            self._timer = (
                self._loop.call_at(self._due, self._speak)
                if self._interval
                else self._loop.call_soon(self._speak)
            )
        elif not self._hold:
            self._transport.write(_END)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _completion(deltas: int) -> bytes:
    text = _TEXT % (b"%014d" % (time.monotonic_ns() // 1000)) * deltas
    message = b'{"role":"assistant","content":"%b","refusal":null}' % text
    choice = b'[{"index":0,"message":%b,"logprobs":null,"finish_reason":"stop"}]' % message
    return _HEAD.replace(b".chunk", b"") + choice + b"," + _USAGE + b"}"


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    plan = Plan()
    server = await asyncio.get_running_loop().create_server(
        lambda: Talk(plan), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
