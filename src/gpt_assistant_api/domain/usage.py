"""What a user used, by day. A day is one of UTC, and a run counts on the day on which it ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from gpt_assistant_api.domain.text import invalid_field

MAX_DAYS = 366
DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Used:
    """Runs that ended, and the tokens that the model server counted for them."""

    runs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0

    def __add__(self, other: "Used") -> "Used":
        return Used(
            self.runs + other.runs,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.total_tokens + other.total_tokens,
        )


def total(used: Iterable[Used]) -> Used:
    """Add up."""
    return sum(used, Used())


def checked_days(first: date | None, last: date | None, *, today: date) -> list[date]:
    """Return every day from `first` to `last`, or raise InvalidError.

    Without a last day it is today, without a first one there are 30 days.
    """
    last = last or today
    if first is None:
        first = date.fromordinal(max(1, last.toordinal() - DEFAULT_DAYS + 1))
    count = last.toordinal() - first.toordinal() + 1
    if count < 1:
        raise invalid_field("from", f"is after {last.isoformat()}")
    if count > MAX_DAYS:
        raise invalid_field("from", f"is {count} days back; at most {MAX_DAYS} are given at once")
    return [date.fromordinal(first.toordinal() + number) for number in range(count)]


def seconds_to_next_day(now: datetime) -> int:
    """Return after how many seconds the next day begins: 1 to 86,400."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    passed = now - midnight
    return -((passed - timedelta(days=1)) // timedelta(seconds=1))
