"""Both kinds of engine, and runs as they are told of."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from gpt_assistant_api.domain.runs import Run

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def make_run(run_id: str = "run_1", *, attempt: int = 1, status: Any = "completed") -> Run:
    return Run(
        run_id, "thread_1", "ada", 2, 1, status, attempt, "sim", None, None, NOON, NOON, NOON
    )


@pytest.fixture(params=["memory", "redis"])
def engine_url(request: pytest.FixtureRequest) -> str:
    """Return where an engine keeps what it holds, once of each kind."""
    if request.param == "memory":
        return f"memory://{uuid4().hex}"
    url: str = request.getfixturevalue("redis_url")
    return url
