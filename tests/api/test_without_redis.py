"""The engine's store does not answer: what is asked is kept, and the caller is told."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from tests.api.helpers import assert_problem, messages_of
from tests.model_server import ModelServerSimulation
from tests.processes import free_port
from tests.server import client_of, make_settings, running


@pytest.fixture
async def client(
    tmp_path: Path, upstream: ModelServerSimulation
) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client of a server whose Redis is not there."""
    settings = make_settings(
        tmp_path,
        openai_base_url=upstream.url,
        model="sim",
        redis_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"),
    )
    with running(settings) as server:
        async with client_of(server) as client:
            yield client


async def test_an_ask_is_kept_and_its_run_named(client: httpx2.AsyncClient) -> None:
    response = await client.post("/ask", json={"user_id": "ada", "prompt": "Hello?"})
    assert response.status_code == 202
    asked = response.json()
    assert asked["run"]["status"] == "queued"
    assert len(await messages_of(client, asked["thread_id"])) == 2
    body = {"user_id": "ada", "prompt": "Hello?", "stream": True}
    problem = assert_problem(await client.post("/ask", json=body), 503, "runs_unavailable")
    assert len(await messages_of(client, problem["thread_id"])) == 2
    ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["engine"] == "runs_unavailable"
