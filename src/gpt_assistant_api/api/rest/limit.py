"""One limit for the body of a request, whatever its encoding.

The framework has one as well, which answers in words of its own, also to those who are not let in.
"""

from fastapi import Request
from starlette.types import Message

from gpt_assistant_api.domain.errors import TooLargeError


def within(request: Request, max_bytes: int) -> Request:
    """Return the request with a body that raises TooLargeError where it is over the limit."""
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        if _announced(request) > max_bytes:
            raise _too_large(max_bytes)
        message = await request.receive()
        taken += len(message.get("body", b""))
        if taken > max_bytes:
            raise _too_large(max_bytes)
        return message

    return Request(request.scope, receive)


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"The body is larger than the {max_bytes} bytes that this server accepts.",
        code="body_too_large",
    )
