"""WEBP files: RIFF chunks; an animated one holds a small WEBP in each of its frames."""

from collections.abc import Iterator, Mapping, Sequence

from gpt_assistant_api.images.bounds import MAX_PROFILE_BYTES, check_bounds, corrupt
from gpt_assistant_api.images.parts import Frame, Parts, Piece, Reader, Span, in_memory, joined

_ALPHA, _ANIMATED = 0x10, 0x02
_FRAME_FLAGS = 0x03
_LOSSY, _LOSSLESS, _TRANSPARENCY = b"VP8 ", b"VP8L", b"ALPH"
_TOLD = (b"VP8X", b"ANIM", b"ICCP", b"EXIF")
_PIXELS = (_TRANSPARENCY, _LOSSY, _LOSSLESS)


def take_apart(data: Span) -> Parts:
    """Return every picture as a WEBP of its own."""
    once: dict[bytes, Span] = {}
    frames: list[Frame] = []
    for name, body in _chunks_of_file(data):
        if name == b"ANMF":
            frames.append(_animation_frame(body))
        else:
            once.setdefault(name, body)
    if len(once.get(b"ICCP", b"")) > MAX_PROFILE_BYTES:
        raise corrupt("has a colour profile that is too large")
    told = {name: once[name].read() for name in _TOLD if name in once}
    profile, exif = told.get(b"ICCP", b""), told.get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    header = told.get(b"VP8X", b"").ljust(10, b"\0")
    if not header[0] & _ANIMATED:
        frame = _still(once)
        return Parts(frame.width, frame.height, [frame], exif=exif, profile=profile)
    width, height = _number(header[4:7]) + 1, _number(header[7:10]) + 1
    if not all(_fits(frame, width, height) for frame in frames):
        raise corrupt()
    return Parts(width, height, frames, head=told.get(b"ANIM", b"")[:6].ljust(6, b"\0"))


def put_together(parts: Parts, stills: Sequence[bytes]) -> bytes:
    """Return the animation of `stills`, which have the places of `parts.frames`."""
    pixels = [_pixels(dict(_chunks_of_file(in_memory(still)))) for still in stills]
    alpha = _ALPHA if any(map(_has_alpha, pixels)) else 0
    chunks = [
        _chunk(b"VP8X", bytes([alpha | _ANIMATED, 0, 0, 0]) + _size(parts.width, parts.height)),
        _chunk(b"ANIM", parts.head),
    ]
    for frame, picture in zip(parts.frames, pixels, strict=True):
        header = frame.place[:6] + _size(frame.width, frame.height) + frame.place[6:]
        chunks.append(_chunk(b"ANMF", header + joined(_pieces(picture)).read()))
    return _file(b"".join(chunks))


def is_lossless(frame: Frame) -> bool:
    """Tell whether a frame's file keeps every pixel exactly."""
    return joined(frame.pieces).read(16)[12:] == _LOSSLESS


def _chunks_of_file(data: Span) -> Iterator[tuple[bytes, Span]]:
    """Yield the chunks that the header's length spans; what follows is no part of the image."""
    reader = Reader(data)
    size = _number(reader.take(8)[4:])
    return _chunks(reader.pass_over(size).without(4))


def _chunks(data: Span) -> Iterator[tuple[bytes, Span]]:
    reader = Reader(data)
    while not reader.at_end:
        name, length = reader.take(4), _number(reader.take(4))
        yield name, reader.pass_over(length)
        if length % 2 and not reader.at_end:
            reader.take(1)


def _animation_frame(body: Span) -> Frame:
    header = body.read(16)
    frame = _still(dict(reversed(list(_chunks(body.without(16))))))
    if (frame.width, frame.height) != (_number(header[6:9]) + 1, _number(header[9:12]) + 1):
        raise corrupt()
    place = header[:6] + header[12:15] + bytes([header[15] & _FRAME_FLAGS])
    return Frame(frame.width, frame.height, frame.pieces, place)


def _fits(frame: Frame, width: int, height: int) -> bool:
    x, y = 2 * _number(frame.place[:3]), 2 * _number(frame.place[3:6])
    return x + frame.width <= width and y + frame.height <= height


def _still(chunks: Mapping[bytes, Span]) -> Frame:
    """Return the one picture among `chunks`. Its size is the coded one, whatever a header says."""
    pixels = _pixels(chunks)
    width, height = _coded_size(pixels)
    check_bounds(width, height)
    pieces = _pieces(pixels)
    if _TRANSPARENCY in pixels:
        pieces.insert(0, _chunk(b"VP8X", bytes([_ALPHA, 0, 0, 0]) + _size(width, height)))
    return Frame(width, height, [_head(sum(map(len, pieces))), *pieces])


def _pixels(chunks: Mapping[bytes, Span]) -> dict[bytes, Span]:
    if _LOSSLESS in chunks:
        return {_LOSSLESS: chunks[_LOSSLESS]}
    return {name: chunks[name] for name in _PIXELS if name in chunks}


def _coded_size(pixels: Mapping[bytes, Span]) -> tuple[int, int]:
    first = {name: body.read(10) for name, body in pixels.items()}
    if (lossless := first.get(_LOSSLESS, b""))[:1] == b"\x2f" and len(lossless) > 4:
        bits = _number(lossless[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if (lossy := first.get(_LOSSY, b""))[3:6] == b"\x9d\x01\x2a" and len(lossy) > 9:
        return _number(lossy[6:8]) & 0x3FFF, _number(lossy[8:10]) & 0x3FFF
    raise corrupt()


def _has_alpha(pixels: Mapping[bytes, Span]) -> bool:
    return _TRANSPARENCY in pixels or (
        _LOSSLESS in pixels and bool(pixels[_LOSSLESS].read(5)[4] & _ALPHA)
    )


def _file(chunks: bytes) -> bytes:
    return _head(len(chunks)) + chunks


def _head(size: int) -> bytes:
    return b"RIFF" + (4 + size).to_bytes(4, "little") + b"WEBP"


def _pieces(pixels: Mapping[bytes, Span]) -> list[Piece]:
    pieces: list[Piece] = []
    for name in _PIXELS:
        if (body := pixels.get(name)) is not None:
            pieces += [name + len(body).to_bytes(4, "little"), body, b"\0" * (len(body) % 2)]
    return pieces


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def _size(width: int, height: int) -> bytes:
    return (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
