"""What text may hold, and how much.

Text comes back exactly as it was sent or is refused by name, alike on both databases: PostgreSQL
cannot store NUL, and a lone surrogate has no UTF-8 form.
"""

import re

from gpt_assistant_api.domain.errors import InvalidError

MAX_PROMPT_CHARACTERS = 200_000
MAX_TITLE_CHARACTERS = 200
MAX_ANSWER_CHARACTERS = 2_000_000

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def checked_text(value: str, *, field: str, limit: int) -> str:
    """Return `value` unchanged, or raise InvalidError naming the field and the reason."""
    if len(value) > limit:
        raise invalid_field(field, f"has {len(value)} characters; at most {limit} are accepted")
    if found := _UNSTORABLE.search(value):
        raise invalid_field(
            field,
            f"has the character U+{ord(found[0]):04X} at position {found.start()}, "
            "which cannot be stored",
        )
    return value


def storable(value: str) -> str:
    """Return a model's text with what cannot be stored replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", value)


def has_control_characters(value: str) -> bool:
    """Tell whether there is a control character, tabs and line ends included."""
    return _CONTROL.search(value) is not None


def one_line(value: str, limit: int) -> str:
    """Return the words of `value` on one line, cut at a word near `limit` with an ellipsis."""
    words = " ".join(_CONTROL.sub(" ", value[: limit * 8]).split())
    if len(words) <= limit:
        return words
    cut = words[: limit - 1]
    head, _, tail = cut.rpartition(" ")
    return (head if head and len(tail) < limit // 3 else cut).rstrip() + "…"


def invalid_field(field: str, reason: str) -> InvalidError:
    """Return the refusal of one field, in the form that failed validation has everywhere."""
    return InvalidError(
        f"{field} {reason}.",
        code="invalid_request",
        errors=[{"field": field, "message": reason}],
    )
