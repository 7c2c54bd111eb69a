"""Where a file's bytes are: flat names, spread over 256 folders.

A key is made from an id of ours and nothing else, so none can lead out of the store.
"""

import re

from gpt_assistant_api.domain.files import THUMBNAIL_SIZES
from gpt_assistant_api.domain.ids import is_id, new_id

_KEY = re.compile(r"[0-9a-f]{2}/(file_[0-9a-f]{32})(?:\.[0-9a-z]+)?", re.ASCII)


def original_key(file_id: str) -> str:
    """Return where the file itself is."""
    if not is_id("file", file_id):
        raise ValueError("not the id of a file")
    return f"{file_id[-2:]}/{file_id}"


def thumbnail_key(file_id: str, size: int) -> str:
    """Return where the file's thumbnail of this size is, if it was made."""
    return f"{original_key(file_id)}.{size}"


def keys_of(file_id: str) -> list[str]:
    """Return every key that the file may have bytes under."""
    return [original_key(file_id), *(thumbnail_key(file_id, size) for size in THUMBNAIL_SIZES)]


def temporary_name() -> str:
    """Return a name for bytes that are still being written.

    It is that of a file which has no record and never will: what a crash leaves under it is an
    orphan like any other.
    """
    return f"{new_id('file')}.part"


def file_id_of(key: str) -> str | None:
    """Return the file that a key belongs to; None for what is not ours."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def is_key(key: str) -> bool:
    """Tell whether `key` has the form of those made here."""
    return _KEY.fullmatch(key) is not None
