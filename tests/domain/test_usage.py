from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from gpt_assistant_api.domain.errors import InvalidError
from gpt_assistant_api.domain.usage import Used, checked_days, seconds_to_next_day, total

TODAY = date(2026, 11, 24)


def test_a_range_has_every_day_from_the_first_to_the_last() -> None:
    days = checked_days(date(2028, 2, 28), date(2028, 3, 1), today=TODAY)
    assert days == [date(2028, 2, 28), date(2028, 2, 29), date(2028, 3, 1)]
    assert checked_days(TODAY, TODAY, today=TODAY) == [TODAY]


def test_without_a_range_it_is_the_last_thirty_days() -> None:
    days = checked_days(None, None, today=TODAY)
    assert (len(days), days[0], days[-1]) == (30, date(2026, 10, 26), TODAY)
    assert checked_days(date(2026, 11, 23), None, today=TODAY) == [date(2026, 11, 23), TODAY]
    assert checked_days(None, date.min, today=TODAY) == [date.min]


def test_a_range_is_bounded_and_has_an_order() -> None:
    assert len(checked_days(date(2025, 11, 24), TODAY, today=TODAY)) == 366
    for first, last in ((date(2025, 11, 23), TODAY), (TODAY, TODAY - timedelta(1))):
        with pytest.raises(InvalidError):
            checked_days(first, last, today=TODAY)
    with pytest.raises(InvalidError):
        checked_days(date.min, date.max, today=TODAY)


def test_what_was_used_adds_up() -> None:
    assert total([Used(1, 2, 3, 5), Used(1, 10, 20, 30)]) == Used(2, 12, 23, 35)
    assert total([]) == Used()


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (datetime(2026, 11, 24, tzinfo=UTC), 86_400),
        (datetime(2026, 11, 24, 12, 0, 0, 1, tzinfo=UTC), 43_200),
        (datetime(2026, 11, 24, 23, 59, 59, 999_999, tzinfo=UTC), 1),
        (datetime(2026, 11, 25, 0, 30, tzinfo=timezone(timedelta(hours=1))), 1_800),
    ],
)
def test_the_next_day_is_the_next_one_of_utc(moment: datetime, seconds: int) -> None:
    assert seconds_to_next_day(moment) == seconds
