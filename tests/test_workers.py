"""`serve --workers N`: several processes at one address, on PostgreSQL and Redis."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest

from tests.api.helpers import start, text_of, watch
from tests.cli.programs import Server, serving
from tests.model_server import Answer, ModelServerSimulation

LONG = " ".join(f"word{number}" for number in range(100))
WORKERS = 2


def processes_of(server: Server) -> set[int]:
    """Return the processes that serve; the others look after them."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return {int(child) for child, command in commands.items() if b"spawn_main" in command}


async def replaced(server: Server, dead: int) -> None:
    """Wait until there is another process in the dead one's place."""
    async with asyncio.timeout(60):
        while len(now := processes_of(server)) < WORKERS or dead in now:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc to find processes in")
async def test_a_dead_process_is_replaced_and_a_stop_hands_everything_over(
    tmp_path: Path, new_postgres_url: str, redis_url: str, upstream: ModelServerSimulation
) -> None:
    settings = {
        "OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "DATABASE_URL": new_postgres_url,
        "REDIS_URL": redis_url, "LEASE_SECONDS": "2",
    }  # fmt: skip
    upstream.default = Answer(text=LONG, pieces=10)
    with serving(tmp_path, "--workers", str(WORKERS), **settings) as server:
        assert len(processes_of(server)) == WORKERS
        async with httpx2.AsyncClient(base_url=server.url, timeout=40) as client:
            upstream.script(*(Answer(text=LONG, pieces=10, pause_after=5) for _ in range(6)))
            runs = [(await start(client, f"q{n}"))["run"]["run_id"] for n in range(6)]
            await upstream.wait_for_request(6)
        dead = min(processes_of(server))
        os.kill(dead, signal.SIGKILL)
        upstream.release()
        async with httpx2.AsyncClient(base_url=server.url, timeout=40) as client:
            for events in await asyncio.gather(*(watch(client, run) for run in runs)):
                assert text_of(events) == LONG
                assert events[-1].name == "run.completed"
            await replaced(server, dead)
            upstream.script(Answer(text=LONG, pieces=10, pause_after=5))
            run_id = (await start(client))["run"]["run_id"]
            watching = asyncio.ensure_future(watch(client, run_id))
            await watch(client, run_id, until=3)
            assert await asyncio.to_thread(server.stop) == 0
            cut = await watching
    assert "run.completed" not in {event.name for event in cut}
    assert "Traceback" not in (tmp_path / "err").read_text()
    with serving(tmp_path, **settings) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=40) as client:
            rest = await watch(client, run_id, after=cut[-1].id if cut else None)
    assert "run.restarted" in {event.name for event in rest}
    assert text_of(cut + rest) == LONG
    assert rest[-1].name == "run.completed"
