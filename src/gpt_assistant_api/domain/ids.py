"""Opaque ids that nobody can guess."""

import re
import secrets
from typing import Literal

Kind = Literal["thread", "file", "run", "key", "worker"]

_ID = re.compile(r"(thread|file|run|key|worker)_[0-9a-f]{32}", re.ASCII)


def new_id(kind: Kind) -> str:
    """Return `<kind>_` and 128 random bits in hex."""
    return f"{kind}_{secrets.token_hex(16)}"


def is_id(kind: Kind, value: str) -> bool:
    """Tell whether `value` has the form of an id of this kind."""
    return value.startswith(kind + "_") and _ID.fullmatch(value) is not None
