"""What an embedded engine keeps of runs that have ended."""

from gpt_assistant_api.domain.events import Event, EventId, MessageDelta, RunEnded
from gpt_assistant_api.engine.channel import LoggedEvent
from gpt_assistant_api.engine.kept import KeptLogs
from tests.engine.conftest import make_run


def told(attempt: int, text: str) -> list[LoggedEvent]:
    events: list[Event] = [MessageDelta(text, 0), RunEnded(make_run(attempt=attempt))]
    return [LoggedEvent(EventId(attempt, n), event) for n, event in enumerate(events, 1)]


async def test_what_is_too_much_goes_oldest_first() -> None:
    kept = KeptLogs(limit_bytes=20_000)
    for number in range(100):
        kept.leave(f"run_{number}", told(1, "x" * 1_000))
    there = [number for number in range(100) if await kept.has(f"run_{number}")]
    assert there == list(range(there[0], 100))
    assert 10 <= len(there) <= 20
    assert await kept.load("run_99") == told(1, "x" * 1_000)
    assert await kept.load("run_0") == []


async def test_an_overtaken_attempt_adds_nothing_and_a_later_one_goes_on() -> None:
    kept = KeptLogs()
    kept.leave("run_1", told(2, "second"))
    kept.leave("run_1", told(1, "first"))
    assert await kept.load("run_1") == told(2, "second")
    kept.leave("run_1", await kept.load("run_1"))
    kept.leave("run_1", told(3, "third"))
    assert await kept.load("run_1") == [*told(2, "second"), *told(3, "third")]
