"""What one user and one key may use."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import anyio
import httpx2
import pytest
from pydantic import SecretStr

from tests.api.credentials import Service, guarded, make_token
from tests.api.helpers import ask, assert_problem, png, start, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.server import client_of, make_settings, running


def items(header: str) -> dict[str, dict[str, int]]:
    """Read a list of structured fields: the names and their parameters."""
    found = {}
    for item in header.split(", "):
        name, *parameters = item.split(";")
        assert name[0] == name[-1] == '"'
        pairs = (parameter.split("=") for parameter in parameters)
        found[name[1:-1]] = {key: int(value) for key, value in pairs}
    return found


@pytest.fixture(params=["memory", "redis"])
def limited(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    """A server that takes three requests a minute of a user and five of a key."""
    # In memory a window ends with the clock's minute: keep it from ending in the middle of a test.
    middle_of_a_minute = SimpleNamespace(time=lambda: 1_800_000_030.0)
    monkeypatch.setattr("limits.aio.storage.memory.time", middle_of_a_minute)
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    with guarded(
        tmp_path,
        requests_per_minute=3,
        requests_per_minute_per_key=5,
        cors_origins=["https://app.example"],
        redis_url=SecretStr(redis_url) if redis_url else None,
    ) as service:
        yield service


async def test_every_answer_says_what_is_left_until_there_is_nothing(limited: Service) -> None:
    origin = {"Origin": "https://app.example"}
    async with client_of(limited.server, limited.key) as client:
        responses = [await client.get("/threads/ada", headers=origin) for _ in range(4)]
        others = [await client.get(f"/usage/{name}") for name in ("bob", "cy", "dot")]
        health = await client.get("/healthz")
    policy = {"user": {"q": 3, "w": 60}, "key": {"q": 5, "w": 60}}
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    assert [response.status_code for response in others] == [200, 200, 429]
    for left, response in zip((2, 1, 0), responses, strict=False):
        assert items(response.headers["ratelimit-policy"]) == policy
        state = items(response.headers["ratelimit"])
        assert {name: values["r"] for name, values in state.items()} == {
            "user": left,
            "key": left + 2,
        }
        assert all(1 <= values["t"] <= 120 for values in state.values())
    refused = responses[-1]
    assert_problem(refused, 429, "rate_limited")
    # What the user's limit refuses costs the key nothing.
    assert items(refused.headers["ratelimit-policy"]) == {"user": {"q": 3, "w": 60}}
    state = items(refused.headers["ratelimit"])
    assert state == {"user": {"r": 0, "t": int(refused.headers["retry-after"])}}
    exposed = refused.headers["access-control-expose-headers"].lower()
    assert {"ratelimit", "ratelimit-policy", "retry-after"} <= set(exposed.split(", "))
    assert items(others[-1].headers["ratelimit"])["key"]["r"] == 0
    assert health.status_code == 200
    assert "ratelimit" not in health.headers


async def test_a_user_is_the_same_with_a_token_by_a_key_and_in_a_body(limited: Service) -> None:
    body = {"user_id": "ada", "prompt": "Hi"}
    picture = {"file": ("a.png", png())}
    async with client_of(limited.server, make_token("ada")) as own:
        first = await own.get("/threads/ada")
    async with client_of(limited.server, limited.key) as client:
        asked = await client.post("/ask", json=body | {"stream": True})
        stored = await client.post("/upload-file", data={"user_id": "ada"}, files=picture)
        refused = await client.post("/ask", json=body)
    assert [one.status_code for one in (first, asked, stored)] == [200, 200, 201]
    left = [items(one.headers["ratelimit"])["user"]["r"] for one in (first, asked, stored)]
    assert left == [2, 1, 0]
    assert "key" not in items(first.headers["ratelimit"])
    assert_problem(refused, 429, "rate_limited")


@pytest.fixture
def unlimited(tmp_path: Path) -> Iterator[Service]:
    """A server that has keys and no limits."""
    with guarded(tmp_path) as service:
        yield service


async def test_without_a_limit_on_requests_no_answer_speaks_of_one(unlimited: Service) -> None:
    async with client_of(unlimited.server, unlimited.key) as client:
        response = await client.get("/threads/ada")
    assert response.status_code == 200
    assert "ratelimit" not in response.headers


async def test_streams_are_limited_and_a_refused_one_leaves_nothing(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    settings = make_settings(
        tmp_path, openai_base_url=upstream.url, model="sim", concurrent_streams=2,
        concurrent_streams_per_process=3,
    )  # fmt: skip
    held = Answer(pause_after=1)
    upstream.script(held)
    body = {"user_id": "ada", "prompt": "Hi", "stream": True}
    with running(settings) as server:
        async with client_of(server) as client:
            run_id = (await start(client))["run"]["run_id"]
            path = f"/runs/{run_id}/events"
            async with AsyncExitStack() as watching:
                for _ in range(2):
                    await watching.enter_async_context(client.stream("GET", path))
                before = (await client.get("/threads/ada")).json()
                for refused in (await client.get(path), await client.post("/ask", json=body)):
                    assert_problem(refused, 429, "too_many_streams")
                    assert refused.headers["retry-after"] == "5"
                assert (await client.get("/threads/ada")).json() == before
                other = await client.post("/ask", json=body | {"user_id": "bob"})
                assert other.status_code == 200
                assert (await client.post("/ask", json=body | {"stream": False})).status_code == 200
                # A stream that ends gives its place back, a refused ask as well.
                for _ in range(5):
                    bad = body | {"user_id": "bob", "thread_id": f"thread_{'0' * 32}"}
                    assert (await client.post("/ask", json=bad)).status_code == 404
                    assert (await client.post("/ask", json=body | {"user_id": "bob"})).is_success
            # So does one that is closed in the middle, as soon as the server has heard of it.
            with anyio.fail_after(10):
                response = await client.post("/ask", json=body)
                while response.status_code == 429:
                    response = await client.post("/ask", json=body)
            assert response.status_code == 200
            held.release()


@pytest.mark.parametrize("way", ["upload", "ask", "claim"])
async def test_a_file_for_which_a_user_has_no_room_is_refused_and_leaves_nothing(
    tmp_path: Path, upstream: ModelServerSimulation, database_url: str, way: str
) -> None:
    picture = {"file": ("a.png", png())}
    settings = make_settings(
        tmp_path, database_url=database_url, openai_base_url=upstream.url, model="sim",
        storage_bytes=250,
    )  # fmt: skip
    with running(settings) as server:
        async with client_of(server) as client:
            unclaimed = (await client.post("/upload-file", files=picture)).json()
            assert 125 > unclaimed["bytes"] > 250 // 3

            async def send() -> httpx2.Response:
                mine = {"user_id": "ada"}
                if way == "upload":
                    return await client.post("/upload-file", data=mine, files=picture)
                if way == "ask":
                    data = mine | {"prompt": "Look."}
                    return await client.post("/ask", data=data, files=picture)
                file = (await client.post("/upload-file", files=picture)).json()
                asked = {**mine, "prompt": "Look.", "file_ids": [file["file_id"]]}
                return await client.post("/ask", json=asked)

            responses = await asyncio.gather(*(send() for _ in range(6)))
            accepted = [response for response in responses if response.is_success]
            refused = [response for response in responses if not response.is_success]
            assert (len(accepted), len(refused)) == (2, 4)
            for response in refused:
                assert_problem(response, 413, "storage_exceeded")
            usage = (await client.get("/usage/ada")).json()
            assert usage["stored_bytes"] == 2 * unclaimed["bytes"]
            threads = (await client.get("/threads/ada")).json()["threads"]
            assert len(threads) == (0 if way == "upload" else 2)
            for thread in threads:
                await client.delete(f"/threads/ada/{thread['thread_id']}")
            if threads:
                assert (await client.get("/usage/ada")).json()["stored_bytes"] == 0
                assert (await send()).is_success


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


async def test_deleting_a_thread_gives_no_tokens_back(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    upstream.default = Answer(text="Fine.", usage=(60, 40))
    settings = make_settings(
        tmp_path, openai_base_url=upstream.url, model="sim", tokens_per_day=100
    )
    with running(settings) as server:
        async with client_of(server) as client:
            thread_id = (await ask(client))["thread_id"]
            assert (await client.delete(f"/threads/ada/{thread_id}")).status_code == 204
            refused = await client.post("/ask", json={"user_id": "ada", "prompt": "Again"})
            assert_problem(refused, 429, "too_many_tokens")
            assert 1 <= int(refused.headers["retry-after"]) <= 86_400


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
