"""GIF files: blocks of pictures, each with a place, a time and perhaps colours of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpt_assistant_api.images.bounds import check_bounds, corrupt
from gpt_assistant_api.images.parts import Frame, Parts, Piece, Reader, Span, in_memory

_PICTURE, _EXTENSION, _TRAILER = b",", b"!", b";"
_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_HAS_COLOURS, _COLOURS_SIZE, _INTERLACED = 0x80, 0x07, 0x40
# A picture's control keeps its disposal and whether it has a transparent colour.
_CONTROL_FLAGS = 0x1D


@dataclass(frozen=True, slots=True)
class _Picture:
    control: bytes
    x: int
    y: int
    width: int
    height: int
    flags: int
    colours: bytes
    pixels: Span


@dataclass(slots=True)
class _Screen:
    """What the pictures share; `loop` is known once they are all read."""

    width: int
    height: int
    flags: int
    background: int
    colours: bytes
    loop: bytes = b""


def take_apart(data: Span) -> Parts:
    """Return every picture as a GIF of its own; the canvas grows to hold them all."""
    reader = Reader(data)
    screen = _read_screen(reader)
    pictures = list(_read_pictures(reader, screen))
    width = max([screen.width, *(picture.x + picture.width for picture in pictures)])
    height = max([screen.height, *(picture.y + picture.height for picture in pictures)])
    return Parts(
        width,
        height,
        [_frame(picture, screen) for picture in pictures],
        head=bytes([screen.flags, screen.background, 0]) + screen.colours + screen.loop,
    )


def put_together(parts: Parts, stills: Sequence[bytes]) -> bytes:
    """Return the GIF of `stills`, which have the places of `parts.frames`; colours stay as sent."""
    result = [b"GIF89a", _pair(parts.width, parts.height), parts.head]
    for frame, still in zip(parts.frames, stills, strict=True):
        reader = Reader(in_memory(still))
        result += [frame.place, next(_read_pictures(reader, _read_screen(reader))).pixels.read()]
    return b"".join([*result, _TRAILER])


def _read_screen(reader: Reader) -> _Screen:
    reader.take(6)
    size, flags, background, _ = reader.take(4), *reader.take(3)
    return _Screen(
        int.from_bytes(size[:2], "little"),
        int.from_bytes(size[2:], "little"),
        flags,
        background,
        _read_colours(reader, flags),
    )


def _read_pictures(reader: Reader, screen: _Screen) -> Iterator[_Picture]:
    control = b""
    while (kind := reader.take(1)) != _TRAILER:
        if kind == _PICTURE:
            yield _read_picture(reader, control)
            control = b""
        elif kind == _EXTENSION:
            label = reader.take(1)[0]
            blocks = list(_read_blocks(reader))
            if label == _CONTROL and blocks and len(blocks[0]) == 4:
                control = b"!\xf9\x04" + bytes([blocks[0][0] & _CONTROL_FLAGS]) + blocks[0][1:]
                control += b"\0"
            elif label == _APPLICATION and len(blocks) > 1 and blocks[0] in _LOOPS:
                screen.loop = b"!\xff\x0bNETSCAPE2.0\x03\x01" + blocks[1][1:3].ljust(2, b"\0")
                screen.loop += b"\0"
        elif kind != b"\0":  # some writers leave a stray zero between blocks
            raise corrupt()


def _read_picture(reader: Reader, control: bytes) -> _Picture:
    place = reader.take(8)
    x, y, width, height = (int.from_bytes(place[at : at + 2], "little") for at in (0, 2, 4, 6))
    check_bounds(width, height)
    flags = reader.take(1)[0]
    colours = _read_colours(reader, flags)
    first = reader.pass_over(1)
    while length := reader.take(1)[0]:
        reader.pass_over(length)
    return _Picture(control, x, y, width, height, flags, colours, reader.passed_since(first))


def _read_colours(reader: Reader, flags: int) -> bytes:
    return reader.take(3 << ((flags & _COLOURS_SIZE) + 1)) if flags & _HAS_COLOURS else b""


def _read_blocks(reader: Reader) -> Iterator[bytes]:
    """Yield blocks up to and without the empty one."""
    while length := reader.take(1)[0]:
        yield reader.take(length)


def _frame(picture: _Picture, screen: _Screen) -> Frame:
    colours = picture.colours or screen.colours
    shared = (picture.flags if picture.colours else screen.flags) & (_HAS_COLOURS | _COLOURS_SIZE)
    size = _pair(picture.width, picture.height)
    head = [b"GIF89a", size, bytes([shared, 0, 0]), colours]
    head += [_PICTURE, _pair(0, 0), size, bytes([picture.flags & _INTERLACED])]
    pieces: list[Piece] = [b"".join(head), picture.pixels, _TRAILER]
    own = picture.flags & (_HAS_COLOURS | _COLOURS_SIZE) if picture.colours else 0
    place = [picture.control, _PICTURE, _pair(picture.x, picture.y), size, bytes([own])]
    return Frame(picture.width, picture.height, pieces, b"".join([*place, picture.colours]))


def _pair(first: int, second: int) -> bytes:
    return first.to_bytes(2, "little") + second.to_bytes(2, "little")
