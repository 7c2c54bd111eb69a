"""What a user used, by day, and stores."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.api.helpers import ask, assert_problem, png, start
from tests.model_server import Answer, ModelServerSimulation

NOTHING = {"runs": 0, "input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


async def usage_of(client: httpx2.AsyncClient, user_id: str = "ada", **params: str) -> Any:
    response = await client.get(f"/usage/{user_id}", params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def test_usage_has_every_day_and_what_was_used_today(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.default = Answer(text="Fine.", usage=(60, 40))
    before = datetime.now(UTC).date()
    await ask(client)
    await ask(client)
    await client.post("/ask", json={"user_id": "bob", "prompt": "Hi"})
    stored = [
        (await client.post("/upload-file", data={"user_id": "ada"}, files={"file": png(color)}))
        for color in ("red", "blue")
    ]
    usage = await usage_of(client)
    used = {"runs": 2, "input_tokens": 120, "output_tokens": 80, "total_tokens": 200}
    assert len(usage["days"]) == 30
    days = {day.pop("day"): day for day in usage["days"]}
    # The clock may pass midnight while the test runs.
    assert [day for day in days.values() if day != NOTHING] == [used]
    assert before.isoformat() in days
    assert usage["total"] == used
    assert usage["stored_bytes"] == sum(file.json()["bytes"] for file in stored)
    assert usage["user_id"] == "ada"


async def test_what_was_used_stays_used_until_the_user_is_erased(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="Fine.", usage=(60, 40)), Answer(pause_after=1))
    finished = await ask(client)
    unfinished = await start(client)
    for thread_id in (finished["thread_id"], unfinished["thread_id"]):
        assert (await client.delete(f"/threads/ada/{thread_id}")).status_code == 204
    total = (await usage_of(client))["total"]
    assert total == {"runs": 2, "input_tokens": 60, "output_tokens": 40, "total_tokens": 100}
    export = (await client.get("/users/ada/export")).content
    assert b"usage.jsonl" in export
    await client.delete("/users/ada")
    assert (await usage_of(client))["total"] == NOTHING


async def test_a_range_is_of_days_and_bounded(client: httpx2.AsyncClient) -> None:
    usage = await usage_of(client, **{"from": "2026-02-27", "to": "2026-03-01"})
    assert [day["day"] for day in usage["days"]] == ["2026-02-27", "2026-02-28", "2026-03-01"]
    today = datetime.now(UTC).date()
    long = await usage_of(client, **{"from": (today - timedelta(300)).isoformat()})
    assert len(long["days"]) in {301, 302}
    assert len((await usage_of(client, to="0001-01-01"))["days"]) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2026-03-01", "to": "2026-02-27"},
        {"from": "2020-01-01", "to": "2026-01-01"},
        {"from": "2026-02-30"},
        {"to": "20260230"},
        {"to": "1700000000"},
        {"from": ""},
        {"to": "0000-01-01"},
        {"from": "٢٠٢٦-٠١-٠١"},
    ],
)
async def test_what_is_no_range_is_refused(
    client: httpx2.AsyncClient, params: dict[str, str]
) -> None:
    assert_problem(await client.get("/usage/ada", params=params), 422, "invalid_request")
