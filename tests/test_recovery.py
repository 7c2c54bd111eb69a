"""Runs outlive the process that executes them: killed, stopped, or replaced."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.helpers import Event, messages_of, start, text_of, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import ServerProcess, server_process

LONG = " ".join(f"word{number}" for number in range(200))


@pytest.fixture
def process(tmp_path: Path, upstream: ModelServerSimulation) -> Iterator[ServerProcess]:
    """The embedded default as a process, answered by the simulated model server."""
    settings = {"OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "MODEL_API": "chat_completions"}
    with server_process(tmp_path, **settings) as process:
        yield process


async def read_until_it_breaks(client: httpx2.AsyncClient, run_id: str, seen: list[Event]) -> None:
    """Watch a run into `seen` until the connection breaks."""
    async with client.stream("GET", f"/runs/{run_id}/events") as response:
        async for event in _events(response):
            seen.append(event)  # noqa: PERF401 - what came before the break is wanted


async def has_seen(seen: list[Event], count: int) -> None:
    """Wait until a reader in the background has seen so many events."""
    async with asyncio.timeout(20):
        while len(seen) < count:  # noqa: ASYNC110 - a list has no event to wait for
            await asyncio.sleep(0.01)


async def _events(response: httpx2.Response) -> AsyncIterator[Event]:
    async for sent in httpx2.EventSource(response):
        yield Event(sent.event, sent.id or "", json.loads(sent.data))


async def test_a_run_that_a_kill_interrupted_is_begun_again_and_finished(
    process: ServerProcess, upstream: ModelServerSimulation
) -> None:
    await process.start()
    upstream.script(Answer(text=LONG, pieces=20, pause_after=10), Answer(text=LONG, pieces=20))
    seen: list[Event] = []
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        started = await start(client)
        run_id = started["run"]["run_id"]
        reader = asyncio.ensure_future(read_until_it_breaks(client, run_id, seen))
        await has_seen(seen, 3)
        process.kill()
        with pytest.raises(httpx2.TransportError):
            await reader
    await process.start()
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        rest = await watch(client, run_id, after=seen[-1].id)
        assert rest[0].name == "run.restarted"
        assert rest[0].data == {"attempt": 2}
        assert text_of(seen + rest) == text_of(rest) == LONG
        assert rest[-1].name == "run.completed"
        assert rest[-1].data["run"]["attempt"] == 2
        [question, answer] = await messages_of(client, started["thread_id"])
        assert (question["content"], answer["content"]) == ("Go on.", LONG)
        assert answer["status"] == "completed"
        again = await client.post(
            "/ask", json={"user_id": "ada", "prompt": "And?", "thread_id": started["thread_id"]}
        )
        assert again.status_code == 200


async def test_who_comes_back_after_the_log_is_gone_gets_the_answer_from_the_database(
    process: ServerProcess, upstream: ModelServerSimulation
) -> None:
    await process.start()
    upstream.script(Answer(text=LONG, pieces=20))
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        started = await start(client)
        run_id = started["run"]["run_id"]
        live = await watch(client, run_id)
    process.kill()
    await process.start()
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        whole = await watch(client, run_id)
        assert text_of(whole) == LONG
        assert [event.name for event in whole] == [
            "run.started",
            "message.started",
            "message.delta",
            "message.completed",
            "run.completed",
        ]
        end = await watch(client, run_id, after=live[2].id)
        assert [event.name for event in end] == ["message.completed", "run.completed"]
        assert end[0].data["message"]["content"] == LONG
        response = await client.get(
            f"/runs/{run_id}/events", headers={"Last-Event-ID": whole[-1].id}
        )
        assert response.status_code == 204


async def test_a_stop_hands_the_run_over_to_the_next_start(
    process: ServerProcess, upstream: ModelServerSimulation
) -> None:
    await process.start()
    upstream.script(Answer(text=LONG, pieces=20, pause_after=10), Answer(text=LONG, pieces=20))
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        started = await start(client)
        run_id = started["run"]["run_id"]
        seen: list[Event] = []
        reader = asyncio.ensure_future(read_until_it_breaks(client, run_id, seen))
        await has_seen(seen, 3)
        code = await asyncio.to_thread(process.terminate)
        await reader
    assert code in {0, -15}
    assert await upstream.requests[0].wait_closed()
    assert "Traceback" not in process.log.read_text()
    await process.start()
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        rest = await watch(client, run_id, after=seen[-1].id)
        assert rest[0].name == "run.restarted"
        assert text_of(rest) == LONG


async def test_an_ask_that_waits_when_the_server_stops_is_told_where_the_answer_will_be(
    process: ServerProcess, upstream: ModelServerSimulation
) -> None:
    await process.start()
    upstream.script(Answer(pause_after=1))
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        asking = asyncio.ensure_future(
            client.post("/ask", json={"user_id": "ada", "prompt": "Wait."})
        )
        await upstream.wait_for_request(1)
        await asyncio.to_thread(process.terminate)
        response = await asking
    assert response.status_code == 202
    assert response.headers["location"] == f"/runs/{response.json()['run']['run_id']}"
