"""Files on the local disk that outlast a power cut once they were written.

obstore writes beside and renames as well, but leaves it to the system when bytes reach the disk.
"""

import os
from pathlib import Path

from gpt_assistant_api.blobs.keys import temporary_name


def write(path: Path, data: bytes) -> None:
    """Store `data` at `path`, wholly or not at all; on return it is on the disk. Blocks."""
    _make_folder(path.parent)
    temporary = path.with_name(temporary_name())
    try:
        with temporary.open("xb") as file:
            file.write(data)
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
