"""The engine's store does not answer: one process does what it can alone."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from tests.api.helpers import assert_problem, messages_of, read_events, start, text_of
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import free_port
from tests.server import client_of, make_settings, running


@pytest.fixture
async def client(
    tmp_path: Path, upstream: ModelServerSimulation, request: pytest.FixtureRequest
) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client of a server whose Redis is not there."""
    settings = make_settings(
        tmp_path,
        openai_base_url=upstream.url,
        model="sim",
        redis_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"),
        run_concurrency=request.param,
    )
    with running(settings) as server:
        async with client_of(server) as client:
            yield client


@pytest.mark.parametrize("client", [100], indirect=True)
async def test_what_fits_one_process_is_answered_all_the_same(client: httpx2.AsyncClient) -> None:
    response = await client.post("/ask", json={"user_id": "ada", "prompt": "Hello?"})
    assert response.status_code == 200
    answer = response.json()["message"]["content"]
    body = {"user_id": "ada", "prompt": "Hello?", "stream": True}
    async with client.stream("POST", "/ask", json=body) as stream:
        events = await read_events(stream)
    assert (events[-1].name, text_of(events)) == ("run.completed", answer)
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"]["engine"] == "runs_unavailable"


@pytest.mark.parametrize("client", [1], indirect=True)
async def test_what_does_not_is_kept_and_its_run_named(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    held = Answer(pause_after=1)
    upstream.default = held
    while not upstream.requests:  # the one place may just be kept for what waits in Redis
        await start(client)
        await asyncio.sleep(0.1)
    response = await client.post("/ask", json={"user_id": "ada", "prompt": "Hello?"})
    assert response.status_code == 202
    asked = response.json()
    assert asked["run"]["status"] == "queued"
    assert len(await messages_of(client, asked["thread_id"])) == 2
    body = {"user_id": "ada", "prompt": "Hello?", "stream": True}
    problem = assert_problem(await client.post("/ask", json=body), 503, "runs_unavailable")
    assert len(await messages_of(client, problem["thread_id"])) == 2
    held.release()
