"""Events as the fields of a log entry, and back."""

from typing import Any

import msgspec

from gpt_assistant_api.domain.events import (
    Event,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    RunEnded,
    RunRestarted,
    RunStarted,
)

_KINDS: dict[bytes, type[Event]] = {
    b"rs": RunStarted,
    b"rr": RunRestarted,
    b"ms": MessageStarted,
    b"md": MessageDelta,
    b"mc": MessageCompleted,
    b"re": RunEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_DECODERS: dict[bytes, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items()
}
_encode = msgspec.json.Encoder().encode


def encode(event: Event) -> dict[bytes, bytes]:
    """Return the fields of a log entry."""
    return {b"e": _NAMES[type(event)], b"d": _encode(event)}


def decode(fields: dict[bytes, bytes]) -> Event:
    """Return the event that `encode` made these fields of."""
    event: Event = _DECODERS[fields[b"e"]].decode(fields[b"d"])
    return event
