"""Files on the local disk that outlast a power cut once they were written.

obstore writes beside and renames as well, but leaves it to the system when bytes reach the disk.
"""

import os
import shutil
from pathlib import Path
from typing import BinaryIO, Final

from gpt_assistant_api.blobs.keys import temporary_name

_PIECE_BYTES: Final = 256 * 1024


def write(path: Path, source: BinaryIO) -> None:
    """Store what is left to read of `source` at `path`, wholly or not at all. Blocks.

    On return it is on the disk.
    """
    _make_folder(path.parent)
    temporary = path.with_name(temporary_name())
    try:
        with temporary.open("xb") as file:
            shutil.copyfileobj(source, file, _PIECE_BYTES)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder last; Windows cannot open one, and sees to it by itself."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
