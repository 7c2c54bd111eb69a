"""Events as bytes that are kept, and back."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gpt_assistant_api.domain.events import (
    Event,
    EventId,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    RunEnded,
    RunRestarted,
    RunStarted,
)
from gpt_assistant_api.engine.channel import LoggedEvent

_KINDS: dict[str, type[Event]] = {
    "rs": RunStarted,
    "rr": RunRestarted,
    "ms": MessageStarted,
    "md": MessageDelta,
    "mc": MessageCompleted,
    "re": RunEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items()
}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[tuple[int, int, str, msgspec.Raw]]).decode


def encode(events: Sequence[LoggedEvent]) -> bytes:
    """Return the events, each with its id, as bytes."""
    return _encode(
        [
            (logged.id.attempt, logged.id.number, _NAMES[type(logged.event)], logged.event)
            for logged in events
        ]
    )


def decode(data: bytes) -> list[LoggedEvent]:
    """Return the events that `encode` made these bytes of."""
    return [
        LoggedEvent(EventId(attempt, number), _DECODERS[name].decode(event))
        for attempt, number, name, event in _decode(data)
    ]
