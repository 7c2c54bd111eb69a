"""A client's connection: what may come by it before anybody is known, and how slowly."""

import asyncio
import logging
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gpt_assistant_api.api.guard import SAFE_HEADERS
from gpt_assistant_api.api.rest.problems import problem
from gpt_assistant_api.domain.errors import ErrorCode

MAX_HEAD_BYTES: Final = 65_536
LOOK_SECONDS: Final = 15.0
SLOWEST_BYTES: Final = 1_500
"""What has to come within LOOK_SECONDS of a request that is not complete: 100 bytes a second."""

log = logging.getLogger("uvicorn.error")


class Connection(HttpToolsProtocol):
    """HTTP/1.1 as the server speaks it, with an end to endless heads and to endless waiting.

    A sender is looked at now and then. Time in which the server itself reads no further is not
    counted against it; between two requests the server has a limit of its own.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at how fast a request comes."""
        super().connection_made(transport)
        self._owes = "head"
        self._since_look = 0
        self._owed_at_last_look = False
        self._head_began = False
        self._head_bytes = 0
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to look."""
        self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, up to the largest head."""
        self._since_look += len(data)
        self._head_began = False
        super().data_received(data)
        # Where a head began within these bytes is not known: the first of them are not counted.
        if self._owes == "head" and not self._head_began:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()

    def on_message_begin(self) -> None:
        """Begin to owe a request."""
        self._owe("head")
        self._head_began = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Let a head of a sensible size begin its request."""
        self._owe("body")
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            self._refuse_head()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a part of the body."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Owe nothing any more."""
        self._owe("")
        if not self.transport.is_closing():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - in words of our own
        """Refuse what is no HTTP."""
        self._refuse(400, "request_malformed", "This is not a request that HTTP knows.")

    def _owe(self, what: str) -> None:
        self._owes = what
        self._owed_at_last_look = False

    def _look(self) -> None:
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)
        is_slow = self._since_look < SLOWEST_BYTES and not self.flow.read_paused
        if self._owes and self._owed_at_last_look and is_slow:
            if self._is_silent:  # a browser that connected to be quick, later
                self.transport.close()
            self._refuse(408, "request_too_slow", "The request came too slowly.")
        self._owed_at_last_look = bool(self._owes)
        self._since_look = 0

    @property
    def _is_silent(self) -> bool:
        return self.scope is None

    def _refuse_head(self) -> None:
        self._refuse(431, "head_too_large", "The address and headers are too long together.")

    def _refuse(self, status: int, code: ErrorCode, detail: str) -> None:
        """Close the connection, and say why unless another answer has begun."""
        if self.transport.is_closing():
            return
        log.info("Refused a request: %s", code)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            response = problem({}, status, code, detail, headers={"Connection": "close"})
            head = [b"%b: %b\r\n" % header for header in (*response.raw_headers, *SAFE_HEADERS)]
            body = bytes(response.body)
            self.transport.write(b"".join([STATUS_LINE[status], *head, b"\r\n", body]))
        self.transport.close()
