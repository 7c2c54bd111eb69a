"""Files: uploaded images."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from gpt_assistant_api.domain.errors import TooLargeError

# File systems count bytes, and most of them end at 255; a ZIP may still add a number to the name.
MAX_FILENAME_BYTES = 200
THUMBNAIL_SIZES = (64, 128, 256, 512, 1024)

EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
}

_UNSAFE = frozenset('<>:"/\\|?*')
# Control characters, invisible ones and those that turn the direction of text, halves of
# characters, ends of lines.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class File:
    """A row of `files`. `user_id` is None until the first ask names a key's upload.

    `sha256` is of the stored bytes, in hex; sizes are in bytes and pixels.
    """

    file_id: str
    user_id: str | None
    filename: str
    content_type: str
    size_bytes: int
    width: int
    height: int
    sha256: str
    created_at: datetime


def storage_exceeded(limit: int) -> TooLargeError:
    """Return the refusal of a file that a user has no room for."""
    return TooLargeError(
        f"All files of this user together may have {limit} bytes.", code="storage_exceeded"
    )


def safe_filename(name: str | None, content_type: str) -> str:
    """Return a name that is safe to show, save and put into a ZIP, with the detected ending.

    The client's name is data and never a path: only its last part is kept.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    last = "".join("_" if _is_unsafe(character) else character for character in last[:4096])
    last = last.strip(" .")
    stem = (last.rpartition(".")[0] or last).strip(" .")
    stem = stem.encode()[:MAX_FILENAME_BYTES].decode("utf-8", "ignore").rstrip(" .") or "image"
    if _RESERVED.fullmatch(stem):
        stem = f"_{stem}"
    return stem + EXTENSIONS[content_type]


def _is_unsafe(character: str) -> bool:
    return character in _UNSAFE or unicodedata.category(character) in _UNSAFE_CATEGORIES
