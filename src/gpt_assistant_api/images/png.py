"""PNG files: chunks with checksums; an animated one spreads its frames over some of them."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gpt_assistant_api.images.bounds import MAX_PROFILE_BYTES, check_bounds, corrupt
from gpt_assistant_api.images.parts import Frame, Parts, Piece, Reader, Span, in_memory

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What colours are made of. All other chunks are metadata and stay unread: a text that unpacks to a
# gigabyte costs nothing.
_COLOURS = (b"PLTE", b"tRNS")
_BY_PALETTE = 3
_SAMPLES_OF_COLOUR_TYPE = {0: 1, 2: 3, _BY_PALETTE: 1, 4: 2, 6: 4}
_PLACE_BYTES = 26
# Deflate makes nothing smaller than this.
_BEST_RATIO = 1_032
_CHECKED = {b"IHDR", b"IDAT", b"fcTL", b"fdAT", *_COLOURS}


@dataclass(slots=True)
class _Picture:
    width: int
    height: int
    place: bytes = b""
    pieces: list[Span] = field(default_factory=list)


def take_apart(data: Span) -> Parts:
    """Return every picture as a PNG of its own.

    The first one may have no place: a default picture that is not a part of the animation.
    """
    chunks = _chunks(data)
    name, body = next(chunks)
    if name != b"IHDR" or len(body) != 13:
        raise corrupt()
    header = body.read()
    first = _Picture(_number(header[:4]), _number(header[4:8]))
    check_bounds(first.width, first.height)
    pictures = [first]
    plays: bytes | None = None
    once: dict[bytes, Span] = {}
    for name, body in chunks:
        if name == b"IDAT":
            first.pieces.append(body)
        elif name == b"acTL" and not first.pieces:
            plays = body.read(8)[4:]
        elif name == b"fcTL" and plays is not None:
            _add_picture(pictures, body.read(_PLACE_BYTES + 1))
        elif name == b"fdAT" and len(pictures) > 1:
            pictures[-1].pieces.append(body.without(4))
        else:
            once.setdefault(name, body)
    colours = [(name, once[name].read()) for name in _COLOURS if name in once]
    palette = dict(colours).get(b"PLTE", b"")
    if len(palette) % 3 or (header[9] == _BY_PALETTE and not palette):
        raise corrupt()
    return Parts(
        first.width,
        first.height,
        [_frame(picture, header, colours) for picture in pictures],
        head=plays or b"",
        exif=once[b"eXIf"].read() if b"eXIf" in once else b"",
        profile=_unpacked(once[b"iCCP"].read()) if b"iCCP" in once else b"",
    )


def put_together(parts: Parts, stills: Sequence[bytes]) -> bytes:
    """Return the animation of `stills`, which have the places of `parts.frames`."""
    head = {name: body.read() for name, body in _chunks_of(stills[0]) if name != b"IDAT"}
    count = sum(1 for frame in parts.frames if frame.place)
    result = [SIGNATURE, _chunk(b"IHDR", head[b"IHDR"])]
    result.append(_chunk(b"acTL", count.to_bytes(4, "big") + parts.head))
    result += [_chunk(name, head[name]) for name in _COLOURS if name in head]
    sequence = 0
    for index, (frame, still) in enumerate(zip(parts.frames, stills, strict=True)):
        if frame.place:
            size = frame.width.to_bytes(4, "big") + frame.height.to_bytes(4, "big")
            result.append(_chunk(b"fcTL", sequence.to_bytes(4, "big") + size + frame.place))
            sequence += 1
        pixels = b"".join(body.read() for name, body in _chunks_of(still) if name == b"IDAT")
        if index == 0:
            result.append(_chunk(b"IDAT", pixels))
        else:
            result.append(_chunk(b"fdAT", sequence.to_bytes(4, "big") + pixels))
            sequence += 1
    return b"".join([*result, _chunk(b"IEND", b"")])


def _chunks_of(still: bytes) -> Iterator[tuple[bytes, Span]]:
    return _chunks(in_memory(still))


def _chunks(data: Span) -> Iterator[tuple[bytes, Span]]:
    """Yield the chunks up to IEND; what follows it is no part of the image."""
    reader = Reader(data)
    reader.take(len(SIGNATURE))
    while True:
        length = _number(reader.take(4))
        name = reader.take(4)
        body = reader.pass_over(length)
        checksum = _number(reader.take(4))
        if name in _CHECKED and checksum != body.crc32(zlib.crc32(name)):
            raise corrupt()
        if name == b"IEND":
            return
        yield name, body


def _add_picture(pictures: list[_Picture], control: bytes) -> None:
    """Begin the picture that an fcTL chunk announces; before any pixels it places the first one."""
    if len(control) != _PLACE_BYTES:
        raise corrupt()
    canvas = pictures[0]
    width, height, x, y = (_number(control[at : at + 4]) for at in (4, 8, 12, 16))
    if x + width > canvas.width or y + height > canvas.height:
        raise corrupt()
    if canvas.pieces:
        pictures.append(_Picture(width, height, control[12:]))
    elif (width, height) == (canvas.width, canvas.height):
        canvas.place = control[12:]
    else:
        raise corrupt()


def _frame(picture: _Picture, header: bytes, colours: Sequence[tuple[bytes, bytes]]) -> Frame:
    length = sum(map(len, picture.pieces))
    bits = header[8] * _SAMPLES_OF_COLOUR_TYPE.get(header[9], 1)
    if picture.height * (picture.width * bits // 8) > length * _BEST_RATIO:
        raise corrupt()
    size = picture.width.to_bytes(4, "big") + picture.height.to_bytes(4, "big")
    checksum = zlib.crc32(b"IDAT")
    for piece in picture.pieces:
        checksum = piece.crc32(checksum)
    head = [(b"IHDR", size + header[8:]), *colours]
    pieces: list[Piece] = [SIGNATURE, *(_chunk(name, body) for name, body in head)]
    pieces += [length.to_bytes(4, "big"), b"IDAT", *picture.pieces, checksum.to_bytes(4, "big")]
    pieces.append(_chunk(b"IEND", b""))
    return Frame(picture.width, picture.height, pieces, picture.place)


def _chunk(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(name))
    return len(body).to_bytes(4, "big") + name + body + checksum.to_bytes(4, "big")


def _unpacked(chunk: bytes) -> bytes:
    """Return the colour profile of an iCCP chunk; one that cannot be unpacked is none."""
    packed = chunk.partition(b"\0")[2][1:]
    try:
        profile = zlib.decompressobj().decompress(packed, MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return b""
    if len(profile) > MAX_PROFILE_BYTES:
        raise corrupt("has a colour profile that is too large")
    return profile


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
