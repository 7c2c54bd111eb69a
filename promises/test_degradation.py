"""A store goes away: only what needs it fails, in bounded time, and it heals by itself."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from pydantic import SecretStr
from tests.api.helpers import Event, assert_problem, messages_of, png, start, text_of
from tests.faults import FaultyLink, started
from tests.fixtures.postgresql_nodes import PostgresNode
from tests.fixtures.redis import RedisServer
from tests.model_server import Answer, ModelServerSimulation
from tests.server import client_of, make_settings, running

from gpt_assistant_api.db import migrate

BOUND_SECONDS = 15
HEAL_SECONDS = 30
TEXT = " ".join(f"word{number}" for number in range(40))

Client = httpx2.AsyncClient


@asynccontextmanager
async def serving(
    folder: Path, upstream: ModelServerSimulation, **changes: Any
) -> AsyncGenerator[Client, None]:
    """Serve with these stores, answered by the simulated model server."""
    changes = {name: SecretStr(v) if name == "redis_url" else v for name, v in changes.items()}
    settings = make_settings(folder, openai_base_url=upstream.url, model="sim", **changes)
    with running(settings) as server:
        async with client_of(server) as client:
            yield client


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Look until it is so."""
    async with asyncio.timeout(HEAL_SECONDS):
        while not await look():  # noqa: ASYNC110 - it looks at another program
            await asyncio.sleep(0.2)


async def soon(response: Awaitable[httpx2.Response]) -> httpx2.Response:
    """Return a response that must come in bounded time."""
    async with asyncio.timeout(BOUND_SECONDS):
        return await response


async def begin_to_watch(client: Client, run_id: str) -> asyncio.Task[list[Event]]:
    """Watch a run to its end, and return once there is something to see."""
    begun = asyncio.Event()

    async def see() -> list[Event]:
        events: list[Event] = []
        async with client.stream("GET", f"/runs/{run_id}/events") as response:
            async for sent in httpx2.EventSource(response):
                events.append(Event(sent.event, sent.id or "", json.loads(sent.data)))
                begun.set()
        return events

    watching = asyncio.ensure_future(see())
    await asyncio.wait_for(begun.wait(), HEAL_SECONDS)
    return watching


async def readiness(client: Client) -> dict[str, str]:
    """Return what the probe says, which must say it within five seconds (and a busy machine's)."""
    begun = time.monotonic()
    response = await client.get("/readyz")
    assert time.monotonic() - begun < BOUND_SECONDS
    checks: dict[str, str] = response.json()["checks"]
    needed = {name: state for name, state in checks.items() if name != "engine"}
    assert (response.status_code == 200) == (set(needed.values()) == {"ok"})
    return checks


async def is_all_there(client: Client) -> bool:
    return set((await readiness(client)).values()) == {"ok"}


async def is_readable(client: Client) -> bool:
    return (await client.get("/threads/ada")).status_code == 200


async def is_completed(client: Client, run_id: str) -> bool:
    run = (await client.get(f"/runs/{run_id}")).json()
    assert run["status"] in {"queued", "in_progress", "completed"}, run
    return bool(run["status"] == "completed")


@pytest.fixture
def redis_link(redis_server: RedisServer) -> Iterator[FaultyLink]:
    """Stand before Redis."""
    with started(FaultyLink(redis_server.port)) as link:
        yield link


@pytest.fixture
def database_link(hosted_postgres: PostgresNode) -> Iterator[FaultyLink]:
    """Stand before PostgreSQL."""
    with started(FaultyLink(hosted_postgres.port)) as link:
        yield link


@pytest.mark.parametrize("fault", ["restarted empty", "silent"])
async def test_while_redis_is_away_asks_are_answered_all_the_same(
    tmp_path: Path, redis_server: RedisServer, redis_link: FaultyLink,
    upstream: ModelServerSimulation, fault: str,
) -> None:  # fmt: skip
    url = redis_server.url.replace(str(redis_server.port), str(redis_link.port))
    upstream.default = Answer(text=TEXT, pieces=8)
    async with serving(tmp_path, upstream, redis_url=url, requests_per_minute=1_000) as client:
        held = Answer(text=TEXT, pieces=8, pause_after=4)
        upstream.script(held)
        executing = await start(client, "Held.")
        watcher = await begin_to_watch(client, executing["run"]["run_id"])
        await upstream.wait_for_request(1)
        if fault == "silent":
            await asyncio.to_thread(redis_link.become, "silent", cut=False)
        else:
            await asyncio.to_thread(redis_server.stop)
        body = {"user_id": "ada", "prompt": "Why?"}
        answered, checks = await asyncio.gather(
            soon(client.post("/ask", json=body)), readiness(client)
        )
        asked = answered.json()
        assert (asked["run"]["status"], asked["message"]["content"]) == ("completed", TEXT)
        assert checks == {"database": "ok", "files": "ok", "engine": "runs_unavailable"}
        if fault == "silent":
            await asyncio.to_thread(redis_link.become, "open", cut=False)
        else:
            await asyncio.to_thread(redis_server.start)
        await eventually(lambda: is_all_there(client))
        watched = await begin_to_watch(client, asked["run"]["run_id"])
        assert text_of(await asyncio.wait_for(watched, HEAL_SECONDS)) == TEXT
        held.release()
        events = await asyncio.wait_for(watcher, HEAL_SECONDS)
        assert (events[-1].name, text_of(events)) == ("run.completed", TEXT)
        [_, answer] = await messages_of(client, executing["thread_id"])
        assert (answer["status"], answer["content"]) == ("completed", TEXT)
        assert len(upstream.requests) == 2


@pytest.mark.parametrize("fault", ["restarted", "silent"])
async def test_while_postgresql_is_away_requests_are_refused_and_answers_are_kept(
    tmp_path: Path, hosted_postgres: PostgresNode, database_link: FaultyLink,
    upstream: ModelServerSimulation, fault: str,
) -> None:  # fmt: skip
    await asyncio.to_thread(hosted_postgres.execute, f"CREATE DATABASE {fault}")
    url = hosted_postgres.url(fault, port=database_link.port)
    await asyncio.to_thread(migrate.upgrade, url)
    async with serving(tmp_path, upstream, database_url=url) as client:
        held = Answer(text=TEXT, pieces=8, pause_after=4)
        upstream.script(held)
        executing = await start(client, "Held.")
        watcher = await begin_to_watch(client, executing["run"]["run_id"])
        await upstream.wait_for_request(1)
        if fault == "silent":
            await asyncio.to_thread(database_link.become, "silent", cut=False)
        else:
            await asyncio.to_thread(hosted_postgres.stop)
        *refused, checks = await asyncio.gather(
            soon(client.post("/ask", json={"user_id": "ada", "prompt": "Why?"})),
            soon(client.get("/threads/ada")),
            soon(client.post("/upload-file", files={"file": ("a.png", png())})),
            readiness(client),
        )
        for response in refused:
            assert_problem(response, 503, "database_unavailable")
            assert response.headers["Retry-After"]
        assert (await client.get("/healthz")).status_code == 200
        assert checks["database"] != "ok"
        assert (checks["files"], checks["engine"]) == ("ok", "ok")
        held.release()
        if fault == "silent":
            await asyncio.to_thread(database_link.become, "open")
        else:
            await asyncio.to_thread(hosted_postgres.start)
        await eventually(lambda: is_all_there(client))
        events = await asyncio.wait_for(watcher, HEAL_SECONDS)
        assert (events[-1].name, text_of(events)) == ("run.completed", TEXT)
        await eventually(lambda: is_completed(client, executing["run"]["run_id"]))
        [_, answer] = await messages_of(client, executing["thread_id"])
        assert answer["content"] == TEXT
        assert len((await client.get("/threads/ada")).json()["threads"]) == 1
        assert len(upstream.requests) == 1


async def test_a_postgresql_that_can_only_be_read_is_read_until_it_takes_writes_again(
    tmp_path: Path, hosted_postgres: PostgresNode, upstream: ModelServerSimulation
) -> None:
    await asyncio.to_thread(hosted_postgres.execute, "CREATE DATABASE standby")
    url = hosted_postgres.url("standby")
    await asyncio.to_thread(migrate.upgrade, url)
    async with serving(tmp_path, upstream, database_url=url) as client:
        first = await start(client, "First.")
        await eventually(lambda: is_completed(client, first["run"]["run_id"]))
        await asyncio.to_thread(hosted_postgres.stop)
        hosted_postgres.demote()
        await asyncio.to_thread(hosted_postgres.start)
        await eventually(lambda: is_readable(client))
        refused, checks, messages, found = await asyncio.gather(
            soon(client.post("/ask", json={"user_id": "ada", "prompt": "Why?"})),
            readiness(client),
            messages_of(client, first["thread_id"]),
            client.get("/search/ada", params={"q": "first"}),
        )
        assert_problem(refused, 503, "database_unavailable")
        assert refused.headers["Retry-After"]
        assert checks["database"] != "ok"
        assert len(messages) == 2
        assert len(found.json()["results"]) == 1
        await asyncio.to_thread(hosted_postgres.promote)
        await eventually(lambda: is_all_there(client))
        second = await start(client, "Second.")
        await eventually(lambda: is_completed(client, second["run"]["run_id"]))


async def test_while_s3_is_away_only_files_fail_and_nothing_is_left(
    tmp_path: Path, s3_url: str, upstream: ModelServerSimulation
) -> None:
    address = s3_url.partition("endpoint=")[2].partition("&")[0]
    with started(FaultyLink(urlsplit(address).port or 0)) as link:
        url = s3_url.replace(address, f"http://127.0.0.1:{link.port}")
        async with serving(tmp_path, upstream, files_url=url) as client:
            picture = {"file": ("a.png", png())}
            ada = {"user_id": "ada"}
            stored = (await client.post("/upload-file", data=ada, files=picture)).json()
            await asyncio.to_thread(link.become, "refusing")
            for request in (
                client.post("/upload-file", data=ada, files=picture),
                client.post("/ask", data={"user_id": "ada", "prompt": "What?"}, files=picture),
                client.get(stored["url"]),
            ):
                assert_problem(await soon(request), 503, "files_unavailable")
            assert (await start(client, "No picture."))["run"]["status"] == "queued"
            checks = await readiness(client)
            assert checks == {"database": "ok", "files": "files_unavailable", "engine": "ok"}
            await asyncio.to_thread(link.become, "open")
            await eventually(lambda: is_all_there(client))
            assert (await client.get(stored["url"])).status_code == 200
        with sqlite3.connect(tmp_path / "assistant.db") as database:
            assert database.execute("SELECT file_id FROM files").fetchall() == [
                (stored["file_id"],)
            ]


async def test_a_locked_sqlite_file_is_waited_for_then_refused_while_reads_go_on(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    async with serving(tmp_path, upstream) as client:
        first = await start(client, "First.")
        await eventually(lambda: is_completed(client, first["run"]["run_id"]))
        with sqlite3.connect(tmp_path / "assistant.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            refused, checks, messages = await asyncio.gather(
                soon(client.post("/ask", json={"user_id": "ada", "prompt": "Why?"})),
                readiness(client),
                messages_of(client, first["thread_id"]),
            )
            assert_problem(refused, 503, "database_unavailable")
            assert refused.headers["Retry-After"]
            assert checks["database"] != "ok"
            assert len(messages) == 2
            other.execute("ROLLBACK")
        await eventually(lambda: is_all_there(client))
        second = await start(client, "Second.")
        await eventually(lambda: is_completed(client, second["run"]["run_id"]))


async def test_a_lost_sqlite_file_is_not_made_anew_and_is_served_again_once_it_is_back(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    path = tmp_path / "assistant.db"
    async with serving(tmp_path, upstream) as client:
        first = await start(client, "First.")
        await eventually(lambda: is_completed(client, first["run"]["run_id"]))
        path.rename(tmp_path / "elsewhere")
        ask = client.post("/ask", json={"user_id": "ada", "prompt": "Why?"})
        assert_problem(await soon(ask), 503, "database_unavailable")
        assert (await readiness(client))["database"] != "ok"
        assert not path.exists()
        (tmp_path / "elsewhere").rename(path)
        await eventually(lambda: is_all_there(client))
        second = await start(client, "Second.")
        await eventually(lambda: is_completed(client, second["run"]["run_id"]))
        assert len((await client.get("/threads/ada")).json()["threads"]) == 2
