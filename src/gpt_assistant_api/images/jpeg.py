"""JPEG files: segments behind markers, and scans of coded pixels between them."""

import re
from collections.abc import Sequence

from gpt_assistant_api.images.bounds import MAX_PROFILE_BYTES, MAX_SCANS, check_bounds, corrupt
from gpt_assistant_api.images.parts import Frame, Parts, Piece, Reader, Span

_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def take_apart(data: Span) -> Parts:
    """Return the picture without its metadata; what follows it, even pictures, is left out."""
    reader = Reader(data)
    kept: list[Piece] = [reader.take(2)]
    size = (0, 0)
    scans = 0
    exif = b""
    profile: dict[int, bytes] = {}
    while (code := _next_marker(reader)) != _EOI:
        if code in _ALONE:
            continue
        length = reader.take(2)
        body = reader.take(int.from_bytes(length, "big") - 2)
        if _is_needed(code, body):
            kept += [b"\xff", bytes([code]), length, body]
        elif code == _APP1 and body.startswith(b"Exif\0\0"):
            exif = exif or body[6:]
        elif code == _APP2 and body.startswith(b"ICC_PROFILE\0"):
            profile[int.from_bytes(body[12:13], "big")] = body[14:]
        if code in _FRAME_HEADERS:
            size = _checked_size(body, size)
        if code == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise corrupt(f"has more than {MAX_SCANS} scans")
            kept.append(reader.pass_until(_MARKER_AFTER_SCAN))
    kept.append(bytes([0xFF, _EOI]))
    return Parts(*size, [Frame(*size, kept)], exif=exif, profile=_joined(profile))


def put_together(parts: Parts, stills: Sequence[bytes]) -> bytes:
    """Return the only picture: a JPEG is never an animation."""
    return stills[0]


def _next_marker(reader: Reader) -> int:
    reader.pass_until(_MARKER)
    return reader.take(2)[1]


def _is_needed(code: int, body: bytes) -> bool:
    """Tell whether the decoder needs the segment: of metadata, what says how colours are coded."""
    if code == _APP0:
        return body.startswith(b"JFIF\0")
    if code == _APP14:
        return body.startswith(b"Adobe")
    return not _APP0 <= code <= _APP15 and code != _COM


def _checked_size(body: bytes, before: tuple[int, int]) -> tuple[int, int]:
    size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
    check_bounds(*size)
    if before not in {(0, 0), size}:
        raise corrupt()
    return size


def _joined(profile: dict[int, bytes]) -> bytes:
    joined = b"".join(profile[number] for number in sorted(profile))
    if len(joined) > MAX_PROFILE_BYTES:
        raise corrupt("has a colour profile that is too large")
    return joined
