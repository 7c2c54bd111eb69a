"""Usage: what a user used by day, and stores now."""

from dataclasses import dataclass
from datetime import date

from gpt_assistant_api import db
from gpt_assistant_api.db import files, usage
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.usage import Used, checked_days
from gpt_assistant_api.domain.users import Actor


@dataclass(frozen=True, slots=True)
class UserUsage:
    """Every day of a range, and the bytes of the files that the user has at this moment."""

    user_id: str
    days: dict[date, Used]
    stored_bytes: int


async def get_usage(
    database: db.Database, actor: Actor, user_id: str, first: date | None, last: date | None
) -> UserUsage:
    """Return what a user used from one day to another, both included, by default the last 30.

    A user of whom nothing is known has used nothing. Raises InvalidError for a range that is too
    long or ends before it begins.
    """
    user_id = actor.act_for(user_id)
    days = checked_days(first, last, today=utc_now().date())
    async with database.read() as tx:
        used = await usage.fetch_usage(tx, user_id, days[0], days[-1])
        stored_bytes = await files.count_bytes(tx, user_id)
    return UserUsage(user_id, {day: used.get(day, Used()) for day in days}, stored_bytes)
