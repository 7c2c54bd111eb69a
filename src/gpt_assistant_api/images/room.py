"""Memory for the pixels of large images, which the C library would rather keep than give back."""

import ctypes
import sys
from functools import cache
from typing import Final

# From malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 1024 * 1024
_KEPT_BYTES: Final = 4 * 1024 * 1024


def make_room() -> None:
    """Give back what was freed, and from now on large blocks as soon as they are free.

    Once a large block was freed, glibc would take the next ones from where small things are, apart
    for each thread, and keep them: 50 MB after some images of 5 MB. Others are left alone.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        return None
    # Both, since setting one stops glibc from adapting either.
    library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    return library
