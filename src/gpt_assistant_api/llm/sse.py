"""Splits a stream of bytes into server-sent events.

Every byte of every answer passes here, so whole chunks are searched and split at C speed and
nothing looks at single bytes.
"""

from collections.abc import Iterator

from gpt_assistant_api.domain.errors import ModelError

MAX_EVENT_BYTES = 8 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventSplitter:
    """Takes bytes as they come, cut anywhere, and gives the events that they complete."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        self._ended_with_cr = False
        self._is_first = True

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the name and the data of each event that is complete now.

        An event without data is none. Raises ModelError, after the events that came before, when
        an event grows beyond the limit.
        """
        block = self._complete(self._with_lf(chunk))
        if block is not None:
            if self._is_first:
                self._is_first = False
                block = block.removeprefix(_BYTE_ORDER_MARK)
            for frame in block.split(b"\n\n"):
                if event := _parse(frame):
                    if len(event[1]) > self._max_event_bytes:
                        raise _too_large()
                    yield event
        if len(self._buffer) > self._max_event_bytes:
            raise _too_large()

    def _complete(self, chunk: bytes) -> bytes | None:
        """Return all that is complete now, if anything is, and keep the rest."""
        if not self._buffer and chunk.endswith(b"\n\n"):  # as servers mostly send it
            return chunk[:-2]
        searched = max(0, len(self._buffer) - 1)
        self._buffer += chunk
        end = self._buffer.rfind(b"\n\n", searched)
        if end < 0:
            return None
        block = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return block

    def _with_lf(self, chunk: bytes) -> bytes:
        """Return `chunk` with LF for every line end, minding a CRLF cut in two."""
        if self._ended_with_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._ended_with_cr = False
        if chunk:
            self._ended_with_cr = chunk.endswith(b"\r")
            if b"\r" in chunk:
                chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk


def _parse(frame: bytes) -> tuple[bytes, bytes] | None:
    if frame.startswith(b"data: ") and b"\n" not in frame:
        return b"", frame[6:]
    name = b""
    data: list[bytes] = []
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return (name, b"\n".join(data)) if data else None


def _too_large() -> ModelError:
    return ModelError("The model server sent an event that is too large.")
