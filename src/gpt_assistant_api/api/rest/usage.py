"""Usage: what a user used and stores."""

from datetime import date
from typing import Annotated

from fastapi import Query

from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.context import Absent, UserId, responses, router
from gpt_assistant_api.api.rest.schemas import UserUsageOut
from gpt_assistant_api.domain.text import invalid_field
from gpt_assistant_api.domain.usage import DEFAULT_DAYS, MAX_DAYS
from gpt_assistant_api.services import usage

routes = router("Users")

# As text: what reads a date would also take a number of seconds for one.
Day = Annotated[
    str | Absent, Query(pattern=r"^\d{4}-\d{2}-\d{2}$", json_schema_extra={"format": "date"})
]


@routes.get(
    "/usage/{user_id}",
    operation_id="get_usage",
    summary="Tell what a user used",
    responses=responses(),
)
async def get_usage(
    call: Call,
    user_id: UserId,
    first: Annotated[
        Day,
        Query(
            alias="from",
            description=f"The first day; without one there are {DEFAULT_DAYS} days. "
            f"At most {MAX_DAYS} are given at once.",
            examples=["2026-11-01"],
        ),
    ] = None,
    last: Annotated[
        Day, Query(alias="to", description="The last day, or today.", examples=["2026-11-24"])
    ] = None,
) -> UserUsageOut:
    """Return the user's runs and tokens by day, and the bytes of the files that they have now.

    Days are those of UTC, and a run counts on the day on which it ended. What was used stays used,
    also when its thread is deleted, until the user is erased.
    """
    found = await usage.get_usage(
        call.runtime.database, call.actor, user_id, _day("from", first), _day("to", last)
    )
    return UserUsageOut.of(found)


def _day(field: str, text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise invalid_field(field, "is no day") from None
