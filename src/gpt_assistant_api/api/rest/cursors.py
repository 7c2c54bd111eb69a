"""Cursors: opaque to clients, strict when they come back."""

import base64
import binascii
from datetime import datetime

from gpt_assistant_api.domain.errors import InvalidError
from gpt_assistant_api.domain.ids import is_id

_MAX_ID = 2**63 - 1


def message_cursor(message_id: int | None) -> str | None:
    """Return the cursor of a page that ends before a message."""
    return None if message_id is None else _encode(f"m{message_id}")


def parse_message_cursor(cursor: str | None) -> int | None:
    """Return what `message_cursor` was made of, or raise InvalidError."""
    if cursor is None:
        return None
    text = _decode(cursor)
    digits = text[1:]
    if text[:1] != "m" or not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise _invalid()
    number = int(digits)
    if number > _MAX_ID or message_cursor(number) != cursor:
        raise _invalid()
    return number


def thread_cursor(position: tuple[datetime, str] | None) -> str | None:
    """Return the cursor of a page that begins after a thread."""
    return None if position is None else _encode(f"t{position[0].isoformat()} {position[1]}")


def parse_thread_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """Return what `thread_cursor` was made of, or raise InvalidError."""
    if cursor is None:
        return None
    text = _decode(cursor)
    moment, _, thread_id = text[1:].partition(" ")
    if text[:1] != "t" or not is_id("thread", thread_id):
        raise _invalid()
    try:
        position = (datetime.fromisoformat(moment), thread_id)
    except ValueError:
        raise _invalid() from None
    if thread_cursor(position) != cursor or position[0].tzinfo is None:
        raise _invalid()
    return position


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error):
        raise _invalid() from None


def _invalid() -> InvalidError:
    return InvalidError(
        "This cursor was not given by this list.",
        code="invalid_cursor",
        errors=[{"field": "cursor", "message": "was not given by this list"}],
    )
