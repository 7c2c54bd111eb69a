"""JSON objects of a few fields, however many bytes their text has.

The event loop waits while JSON is parsed, and 20 MB of empty lists take seconds. What callers may
send is a little structure around one long text, so that is looked at before anything is made of it.
"""

import re
from typing import Any, Final

import orjson

from gpt_assistant_api.api.rest.forms import MAX_FIELDS
from gpt_assistant_api.domain.errors import MalformedError
from gpt_assistant_api.domain.text import MAX_PROMPT_CHARACTERS

_MAX_STRUCTURE_BYTES: Final = 64 * 1024
_MAX_STRINGS: Final = 2_000
# As an escaped pair of surrogates a character takes twelve bytes.
_MAX_BYTES: Final = 12 * MAX_PROMPT_CHARACTERS + _MAX_STRUCTURE_BYTES
# Possessive: a string that does not end is looked through once.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def read_json(body: bytes) -> dict[str, Any]:
    """Return the fields of the object that `body` is, or raise MalformedError."""
    if len(body) > _MAX_STRUCTURE_BYTES and not _is_mostly_text(body):
        raise _too_much()
    try:
        fields = orjson.loads(body)
        orjson.dumps(fields)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # the latter: nested too deeply
        raise MalformedError("The body is not valid JSON.", code="body_malformed") from None
    if not isinstance(fields, dict):
        raise MalformedError("The body must be a JSON object.", code="body_malformed")
    if len(fields) > MAX_FIELDS:  # each unknown one would be an error of its own
        raise _too_much()
    return fields


def _is_mostly_text(body: bytes) -> bool:
    if len(body) > _MAX_BYTES:
        return False
    position = structure = 0
    for _ in range(_MAX_STRINGS):
        start = body.find(b'"', position)
        string = _STRING.match(body, start) if start >= 0 else None
        if string is None:
            return structure + len(body) - position <= _MAX_STRUCTURE_BYTES
        structure += start - position
        position = string.end()
    return False


def _too_much() -> MalformedError:
    return MalformedError("The body has too many fields, or too large ones.", code="body_malformed")
