"""The one clock."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment in UTC, to the microsecond."""
    return datetime.now(UTC)
