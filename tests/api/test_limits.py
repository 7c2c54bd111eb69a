"""What one user and one key may use."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.credentials import Service, guarded
from tests.api.helpers import ask, assert_problem, start, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.server import client_of, make_settings, running


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Service]:
    """A server with a key that takes three requests a minute."""
    with guarded(tmp_path, requests_per_minute=3) as service:
        yield service


async def test_requests_over_the_limit_are_told_when_to_come_back(limited: Service) -> None:
    async with client_of(limited.server, limited.key) as client:
        responses = [await client.get("/threads/ada") for _ in range(5)]
        assert [response.status_code for response in responses[:3]] == [200, 200, 200]
        assert_problem(responses[-1], 429, "rate_limited")
        assert 1 <= int(responses[-1].headers["retry-after"]) <= 120
        assert (await client.get("/healthz")).status_code == 200


async def test_a_user_has_so_many_unfinished_runs_and_no_more(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    settings = make_settings(tmp_path, openai_base_url=upstream.url, model="sim", concurrent_runs=2)
    with running(settings) as server:
        async with client_of(server) as client:
            held = [Answer(pause_after=1), Answer(pause_after=1)]
            upstream.script(*held)
            started = [await start(client, f"q{number}") for number in range(2)]
            body = {"user_id": "ada", "prompt": "One more"}
            refused = await client.post("/ask", json=body)
            assert_problem(refused, 429, "too_many_runs")
            assert refused.headers["retry-after"]
            assert (await client.post("/ask", json=body | {"user_id": "bob"})).status_code == 200
            for answer, run in zip(held, started, strict=True):
                answer.release()
                await watch(client, run["run"]["run_id"])
            assert (await client.post("/ask", json=body)).status_code == 200


async def test_a_user_has_so_many_tokens_a_day_and_no_more(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    upstream.default = Answer(text="Fine.", usage=(60, 40))
    settings = make_settings(
        tmp_path, openai_base_url=upstream.url, model="sim", tokens_per_day=150
    )
    with running(settings) as server:
        async with client_of(server) as client:
            await ask(client)
            await ask(client)
            refused = await client.post("/ask", json={"user_id": "ada", "prompt": "Again"})
            assert_problem(refused, 429, "too_many_tokens")
            bob = await client.post("/ask", json={"user_id": "bob", "prompt": "Hi"})
            assert bob.status_code == 200


async def test_a_refused_ask_leaves_nothing(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    settings = make_settings(tmp_path, openai_base_url=upstream.url, model="sim", tokens_per_day=1)
    with running(settings) as server:
        async with client_of(server) as client:
            await ask(client)
            threads: httpx2.Response = await client.get("/threads/ada")
            await client.post("/ask", json={"user_id": "ada", "prompt": "Again"})
            assert (await client.get("/threads/ada")).json() == threads.json()
