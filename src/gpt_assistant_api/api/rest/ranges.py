"""Which part of a file a request wants (RFC 9110, sections 13 and 14)."""

import re
from email.utils import parsedate_to_datetime

from starlette.datastructures import Headers

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


class UnsatisfiableRangeError(Exception):
    """The range begins behind the end."""


def is_unchanged(headers: Headers, etag: str) -> bool:
    """Tell whether the client has this version already (If-None-Match)."""
    sent = headers.get("if-none-match")
    if sent is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
    return "*" in known or etag in known


def wanted_range(headers: Headers, etag: str, size: int) -> tuple[int, int] | None:
    """Return the wanted part as (start, end without), or None for the whole file.

    What is no single byte range is ignored, as the standard allows, and so is one that If-Range
    makes void. Raises UnsatisfiableRangeError.
    """
    match = _RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or not _still_the_same(headers, etag):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise UnsatisfiableRangeError
        return size - length, size
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise UnsatisfiableRangeError
    return start, min(int(last) + 1, size) if last else size


def _still_the_same(headers: Headers, etag: str) -> bool:
    """Tell whether If-Range holds; a file never changes, so a date is as good as the tag."""
    sent = headers.get("if-range")
    if sent is None or sent.strip() == etag:
        return True
    try:
        parsedate_to_datetime(sent)
    except ValueError:
        return False
    return True
