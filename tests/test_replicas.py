"""Two replicas on one PostgreSQL and one Redis, by settings alone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.api.helpers import ask, messages_of, png, read_events, start, text_of, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import ServerProcess, server_process

LONG = " ".join(f"word{number}" for number in range(100))


@dataclass
class Replica:
    """A server and a client of it."""

    process: ServerProcess
    client: httpx2.AsyncClient


@pytest.fixture
async def replicas(
    tmp_path: Path, new_postgres_url: str, redis_url: str, upstream: ModelServerSimulation
) -> AsyncGenerator[list[Replica], None]:
    """Two servers that share everything."""
    settings = {
        "OPENAI_BASE_URL": upstream.url,
        "MODEL": "sim",
        "DATABASE_URL": new_postgres_url,
        "REDIS_URL": redis_url,
        "FILES_URL": (tmp_path / "files").as_uri(),
        "LINK_SECRET": "0f9a4c7be2d81536" * 4,
        "LEASE_SECONDS": "2",
    }
    with ExitStack() as stack:
        started = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            process = stack.enter_context(server_process(folder, **settings))
            await process.start()
            client = httpx2.AsyncClient(base_url=process.url, timeout=40)
            started.append(Replica(process, client))
        yield started
        for replica in started:
            await replica.client.aclose()


async def test_what_one_replica_begins_every_other_can_watch_and_stop(
    replicas: list[Replica], upstream: ModelServerSimulation
) -> None:
    a, b = (replica.client for replica in replicas)
    for _ in range(3):
        held = Answer(text=LONG, pieces=10, pause_after=5)
        upstream.script(held)
        started = await start(a)
        run_id = started["run"]["run_id"]
        watchers = [asyncio.ensure_future(watch(client, run_id)) for client in (a, b)]
        half = await watch(b, run_id, until=3)
        held.release()
        seen = await asyncio.gather(*watchers)
        assert [text_of(events) for events in seen] == [LONG, LONG]
        assert [event.id for event in seen[0]] == [event.id for event in seen[1]]
        rest = await watch(a, run_id, after=half[-1].id)
        assert text_of(half + rest) == LONG
    upstream.script(Answer(text=LONG, pieces=4, pause_after=2))
    started = await start(a)
    run_id = started["run"]["run_id"]
    await watch(b, run_id, until=3)
    stopped = await b.post(f"/runs/{run_id}/cancel")
    assert stopped.json()["status"] == "cancelled"
    assert await upstream.requests[-1].wait_closed()
    events = await watch(a, run_id)
    assert events[-1].name == "run.cancelled"
    [_, answer] = await messages_of(b, started["thread_id"])
    assert answer["content"] == text_of(events)
    assert [(await client.get("/readyz")).status_code for client in (a, b)] == [200, 200]


async def test_a_killed_replicas_runs_go_on_elsewhere(
    replicas: list[Replica], upstream: ModelServerSimulation
) -> None:
    upstream.default = Answer(text=LONG, pieces=10)
    for _ in range(6):
        upstream.script(Answer(text=LONG, pieces=10, pause_after=5))
    runs = [(await start(replicas[0].client, f"q{n}"))["run"]["run_id"] for n in range(6)]
    await upstream.wait_for_request(6)
    watchers = [asyncio.ensure_future(watch(replicas[1].client, run)) for run in runs]
    halves = [await watch(replicas[1].client, run, until=3) for run in runs]
    replicas[0].process.kill()
    upstream.release()
    for run_id, half, watcher in zip(runs, halves, watchers, strict=True):
        events = await watcher
        assert text_of(events) == LONG
        assert events[-1].name == "run.completed"
        assert [event.id for event in events[:3]] == [event.id for event in half]
        status = (await replicas[1].client.get(f"/runs/{run_id}")).json()
        assert status["status"] == "completed"


async def test_a_stopped_replica_hands_its_runs_over_at_once(
    replicas: list[Replica], upstream: ModelServerSimulation
) -> None:
    upstream.default = Answer(text=LONG, pieces=10)
    upstream.script(*(Answer(text=LONG, pieces=10, pause_after=5) for _ in range(4)))
    runs = [(await start(replicas[0].client, f"q{n}"))["run"]["run_id"] for n in range(4)]
    await upstream.wait_for_request(4)
    watchers = [asyncio.ensure_future(watch(replicas[1].client, run)) for run in runs]
    await asyncio.gather(*(watch(replicas[1].client, run, until=2) for run in runs))
    await asyncio.to_thread(replicas[0].process.terminate)
    upstream.release()
    for watcher in watchers:
        events = await watcher
        assert text_of(events) == LONG
        assert events[-1].name == "run.completed"


async def test_replicas_share_threads_files_and_links(replicas: list[Replica]) -> None:
    a, b = (replica.client for replica in replicas)
    response = await a.post(
        "/ask", data={"user_id": "ada", "prompt": "What?"}, files={"file": ("a.png", png())}
    )
    answer = response.json()
    [file] = answer["user_message"]["files"]
    assert (await b.get(file["url"])).content == (await a.get(file["url"])).content
    again = await ask(b, "And?", thread_id=answer["thread_id"])
    assert len(await messages_of(a, again["thread_id"])) == 4
    body = {"user_id": "ada", "prompt": "Once"}
    headers = {"Idempotency-Key": "k"}
    both = await asyncio.gather(*(c.post("/ask", json=body, headers=headers) for c in (a, b)))
    assert both[0].json()["run"]["run_id"] == both[1].json()["run"]["run_id"]
    async with a.stream("POST", "/ask", json=body | {"stream": True}) as stream:
        events = await read_events(stream)
    assert events[-1].name == "run.completed"
