"""What happens in a run, as its watchers are told. Faces render these in their own words."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import Run


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A worker has begun the run, or begins it again: then it comes after RunRestarted."""

    run: Run
    thread_title: str
    user_message: Message


@dataclass(frozen=True, slots=True)
class RunRestarted:
    """The run begins again: the text so far is void."""

    attempt: int


@dataclass(frozen=True, slots=True)
class MessageStarted:
    """The answer is about to be written."""

    message_id: int


@dataclass(frozen=True, slots=True)
class MessageDelta:
    """A piece of the answer; `offset` counts the characters before it."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class MessageCompleted:
    """The answer as it is stored; it will not change."""

    message: Message


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run has reached the end that its status names. The last event."""

    run: Run


Event = RunStarted | RunRestarted | MessageStarted | MessageDelta | MessageCompleted | RunEnded


class EventId(NamedTuple):
    """`attempt-number`: ascends through restarts."""

    attempt: int
    number: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.number}"

    @classmethod
    def parse(cls, value: str) -> "EventId | None":
        """Return the id that `value` spells, or None when it spells none."""
        attempt, dash, number = value.partition("-")
        if not (dash and _is_count(attempt) and _is_count(number)):
            return None
        return cls(int(attempt), int(number))


def _is_count(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 15


BEGINNING: Final = EventId(0, 0)
