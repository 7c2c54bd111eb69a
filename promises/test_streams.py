"""Streams: cut they are whole again, stopped they stop the model, ended they are stored."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from operator import le
from pathlib import Path

import httpx2
import pytest
from tests.api.helpers import Event, messages_of, read_events, start, text_of, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import ServerProcess, server_process

from promises.meters import memory_bytes

# What looks like the end of a line, of an event, or of the wire's own words.
PIECES = ["data: ", "id: 9-9\n", "\r\n", "\n\n", "event: x", "\u2028", "\U0001f30d", "é", "\\", " "]


@pytest.fixture
async def process(
    tmp_path: Path, upstream: ModelServerSimulation
) -> AsyncGenerator[ServerProcess, None]:
    """The program in open mode, answered by the simulated model server."""
    settings = {"OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "MODEL_API": "responses"}
    with server_process(tmp_path, **settings) as process:
        yield await process.start()


async def test_a_stream_that_is_cut_again_and_again_is_whole_byte_for_byte(
    process: ServerProcess, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    wanted, cuts = 1_000 if full else 100, 0
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        while cuts < wanted:
            pieces = [f"{number}{chance.choice(PIECES)}" for number in range(200)]
            answer = Answer(text="".join(pieces), pieces=pieces, delay_seconds=0.002)
            upstream.script(answer)
            run_id = (await start(client))["run"]["run_id"]
            whole = asyncio.ensure_future(_frames_of(client, run_id))
            pasted: list[bytes] = []
            while not pasted or b"event: run.completed" not in pasted[-1]:
                last = pasted[-1].partition(b"\nid: ")[2].partition(b"\n")[0] if pasted else b""
                pasted += await _frames_of(client, run_id, last, chance.randint(1, 4_000))
                cuts += 1
            assert pasted == await whole
            assert text_of(await watch(client, run_id)) == answer.text
    print({"cuts": cuts})  # noqa: T201


async def _frames_of(
    client: httpx2.AsyncClient, run_id: str, after: bytes = b"", until: int = 10**9
) -> list[bytes]:
    """Read a run's stream up to so many bytes, hang up, and return what came whole."""
    headers = {"Last-Event-ID": after.decode()} if after else {}
    data = b""
    path = f"/runs/{run_id}/events"
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        async for part in response.aiter_raw():
            data += part
            if len(data) >= until:
                break
    *whole, _ = data[:until].split(b"\n\n")
    return [frame for frame in whole if not frame.startswith(b":")]


async def test_a_stream_that_waits_costs_at_most_60_kib(
    process: ServerProcess, upstream: ModelServerSimulation, full: bool
) -> None:
    upstream.default = Answer(pieces=2, pause_after=1)
    count = 1_000 if full else 300
    async with AsyncExitStack() as streams:
        for number in range(100):  # what the first ones load is not theirs
            streams.callback(await _open_stream(process, number))
        before = memory_bytes(process.pid)
        for number in range(count):
            streams.callback(await _open_stream(process, number))
        cost = (memory_bytes(process.pid) - before) / count / 1_024
    print({"streams": count, "KiB each": round(cost, 1)})  # noqa: T201
    assert cost <= (60 if full else 64)  # of few, what all share is a larger part


async def _open_stream(process: ServerProcess, number: int) -> Callable[[], None]:
    """Ask, read until the model has begun to speak, and return what hangs up."""
    url = httpx2.URL(process.url)
    body = json.dumps({"user_id": f"user-{number}", "prompt": "Go on.", "stream": True})
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /ask HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n{body}".encode())
    await reader.readuntil(b"event: message.delta")
    return writer.close


async def test_cancel_closes_the_connection_to_the_model_server_wherever_the_answer_is(
    process: ServerProcess, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    taken: list[float] = []
    async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
        for number in range(1, (1_000 if full else 40) + 1):
            upstream.script(Answer(pieces=1, pause_after=chance.choice([-1, 0, 1, 20])))
            way = {"stream": True} if chance.random() < 0.5 else {}
            asking = asyncio.ensure_future(
                client.post("/ask", json={"user_id": "ada", "prompt": "Go on.", **way})
            )
            request = await upstream.wait_for_request(number)
            threads = (await client.get("/threads/ada", params={"limit": 1})).json()["threads"]
            run_id = threads[0]["active_run_id"]
            began = time.monotonic()
            stopped = await client.post(f"/runs/{run_id}/cancel")
            assert stopped.json()["status"] == "cancelled"
            assert await request.wait_closed()
            taken.append(time.monotonic() - began)
            assert (await asking).status_code == 200
            events = await watch(client, run_id)
            assert events[-1].name == "run.cancelled"
            [_, answer] = await messages_of(client, threads[0]["thread_id"])
            assert answer["content"] == text_of(events)
    p99 = statistics.quantiles(taken, n=100)[98]
    print({"cancels": len(taken), "p99 ms until closed": round(p99 * 1_000)})  # noqa: T201


async def test_a_reader_who_reads_nothing_costs_only_itself_and_the_answer_is_stored(
    process: ServerProcess, upstream: ModelServerSimulation, full: bool
) -> None:
    text = "x" * 900_000
    upstream.script(Answer(text=text, pieces=20 if full else 90), Answer(text="Quick."))
    async with httpx2.AsyncClient(base_url=process.url, timeout=60) as client:
        started = await start(client)
        run_id = started["run"]["run_id"]
        async with client.stream("GET", f"/runs/{run_id}/events"):
            async with asyncio.timeout(60):
                while (await client.get(f"/runs/{run_id}")).json()["status"] == "in_progress":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            other = await client.post("/ask", json={"user_id": "bob", "prompt": "And?"})
            assert other.json()["message"]["content"] == "Quick."
        events = await watch(client, run_id)
        [_, answer] = await messages_of(client, started["thread_id"])
        assert answer["content"] == text_of(events)
        assert answer["status"] in {"completed", "incomplete"}  # the latter beyond the longest


async def test_streams_that_wait_hear_that_they_are_not_forgotten_and_keep_nothing_from_others(
    tmp_path: Path, new_postgres_url: str, upstream: ModelServerSimulation, full: bool
) -> None:
    count = 200 if full else 40
    upstream.script(*[Answer(text="First. Second.", pieces=7, pause_after=1)] * count)
    settings = {
        "OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "DATABASE_URL": new_postgres_url,
        "DATABASE_CONNECTIONS": "2",
    }  # fmt: skip
    with server_process(tmp_path, **settings) as server:
        await server.start()
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
            heard = [0] * count
            streams = [asyncio.ensure_future(_hear(client, heard, at)) for at in range(count)]
            await upstream.wait_for_request(count)
            other = await client.post("/ask", json={"user_id": "bob", "prompt": "And?"})
            assert other.json()["run"]["status"] == "completed"
            listed = await asyncio.gather(*(client.get("/threads/ada") for _ in range(20)))
            assert {response.status_code for response in listed} == {200}
            before = list(heard)
            async with asyncio.timeout(60):
                while any(map(le, heard, before)):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            upstream.release()
            assert await asyncio.gather(*streams) == ["run.completed"] * count
    print({"streams": count, "connections": 2})  # noqa: T201


async def _hear(client: httpx2.AsyncClient, heard: list[int], at: int) -> str:
    """Ask for a stream, count how often it says that it still lives, and return its last event."""
    body = {"user_id": "ada", "prompt": "Go on.", "stream": True}
    last = ""
    async with client.stream("POST", "/ask", json=body) as response:
        async for line in response.aiter_lines():
            heard[at] += line.startswith(":")
            if line.startswith("event: "):
                last = line.removeprefix("event: ")
    return last


async def test_sigterm_under_load_loses_nothing(
    process: ServerProcess, upstream: ModelServerSimulation, full: bool
) -> None:
    upstream.default = Answer(text="words " * 40, pieces=6, delay_seconds=0.02)
    asked: list[str] = []

    async def talk(client: httpx2.AsyncClient, user: int) -> None:
        while True:
            body = {"user_id": f"user-{user}", "prompt": "Go on."}
            later = {"Prefer": "respond-async"}
            try:
                response = await client.post("/ask", json=body, headers=later)
                if response.status_code != 202:
                    return
                asked.append(response.json()["run"]["run_id"])
                async with client.stream("GET", f"/runs/{asked[-1]}/events") as events:
                    await read_events(events)
            except httpx2.TransportError:
                return

    for _ in range(50 if full else 1):
        async with httpx2.AsyncClient(base_url=process.url, timeout=60) as client:
            talks = [asyncio.ensure_future(talk(client, user)) for user in range(20)]
            await asyncio.sleep(0.5)
            assert await asyncio.to_thread(process.terminate) in {0, -15}  # within 35 seconds
            await asyncio.gather(*talks)
        await process.start()
    async with httpx2.AsyncClient(base_url=process.url, timeout=60) as client:
        for run_id in asked:
            events: list[Event] = await watch(client, run_id)
            assert events[-1].name == "run.completed"
            assert text_of(events) == "words " * 40
    assert asked
    assert "Traceback" not in process.log.read_text()
    print({"runs": len(asked)})  # noqa: T201
