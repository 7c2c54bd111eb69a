"""Files that are read forwards, a window at a time, and joined again from their pieces."""

import io
import re

import pytest

from gpt_assistant_api.domain.errors import InvalidError
from gpt_assistant_api.images.parts import Piece, Reader, Span, in_memory, joined

WINDOW = 64 * 1024
MARK = re.compile(rb"\xff[^\x00\xff]")


@pytest.mark.parametrize("before", [0, 1, *range(WINDOW - 3, WINDOW + 3), 3 * WINDOW - 2])
def test_a_mark_is_found_wherever_a_window_ends(before: int) -> None:
    data = b"\0" * before + b"\xff\xd9" + b"behind"
    reader = Reader(in_memory(data))
    assert len(reader.pass_until(MARK)) == before
    assert reader.take(2) == b"\xff\xd9"
    assert reader.take(6) == b"behind"
    assert reader.at_end


def test_what_is_not_there_is_refused() -> None:
    for data in (b"", b"\xff", b"\0" * (2 * WINDOW) + b"\xff"):
        with pytest.raises(InvalidError):
            Reader(in_memory(data)).pass_until(MARK)


def test_more_than_a_window_is_taken_at_once() -> None:
    data = bytes(range(256)) * 1024
    reader = Reader(Span(io.BytesIO(b"before" + data + b"behind"), 6, 6 + len(data)))
    assert reader.take(3) + reader.take(2 * WINDOW) + reader.take(5) == data[: 2 * WINDOW + 8]
    reader.pass_over(len(data) - 2 * WINDOW - 8)
    with pytest.raises(InvalidError):
        reader.take(1)


def test_pieces_are_one_file() -> None:
    source = in_memory(bytes(range(100)) * 2_000)
    pieces: list[Piece] = [b"head", source.without(150_000), b"", Span(source.file, 7, 11), b"tail"]
    expected = b"head" + source.read()[150_000:] + bytes(range(7, 11)) + b"tail"
    file = joined(pieces)
    assert file.read() == expected
    assert file.seek(-6, io.SEEK_END) == len(expected) - 6
    assert file.read(3) == expected[-6:-3]
    assert file.seek(2) == 2
    assert file.read(6) == expected[2:8]
