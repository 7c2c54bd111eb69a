"""A request as a route is handed it: who speaks, the parts of the program, a body that ends.

The framework hands over a request of a class of ours as it is, for nothing; a dependency that only
looks something up it would resolve anew each time, which costs as much as a query does.
"""

from typing import Final

from fastapi import Request
from starlette.types import Message

from gpt_assistant_api.api.access import Access
from gpt_assistant_api.api.rest.links import FileLinks
from gpt_assistant_api.domain.errors import TooLargeError
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.runtime import Runtime

READ_AWAY_BYTES: Final = 1_048_576
"""How much a body may be too large by and is still read to its end before it is refused."""


class Call(Request):
    """A request that was let in.

    Reading its body, whatever the encoding, raises TooLargeError over the one limit that there is.
    The framework has a limit as well, which answers in words of its own, also to those who are not
    let in.
    """

    def __init__(self, request: Request, actor: Actor | None) -> None:
        super().__init__(request.scope, self._receive_within)
        self.runtime: Runtime = request.app.state.runtime
        self._actor = actor
        self._whole = request.receive
        self._taken = 0

    @property
    def actor(self) -> Actor:
        """Who speaks; not for operations that anybody may call."""
        assert self._actor is not None, "the operation's rule asks for somebody"
        return self._actor

    @property
    def links(self) -> FileLinks:
        """What makes links to files."""
        return FileLinks(self.runtime.links)

    async def check_access(self) -> None:
        """Raise UnauthenticatedError when what let the caller in is not valid any more."""
        access: Access = self.app.state.access
        await access.actor_of(self.headers)

    async def _receive_within(self) -> Message:
        limit = self.runtime.max_body_bytes
        if (excess := self._announced() - limit) > 0:
            if excess <= READ_AWAY_BYTES and not self._taken and "expect" not in self.headers:
                await self._read_away()
            raise _too_large(limit)
        message = await self._whole()
        self._taken += len(message.get("body", b""))
        if self._taken > limit:
            raise _too_large(limit)
        return message

    async def _read_away(self) -> None:
        """Let a client send all of it: many, and proxies, lose an answer that comes earlier."""
        more = True
        while more:
            message = await self._whole()
            self._taken += len(message.get("body", b""))
            more = message.get("more_body", False)

    def _announced(self) -> int:
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else 0


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"The body is larger than the {max_bytes} bytes that this server accepts.",
        code="body_too_large",
    )
