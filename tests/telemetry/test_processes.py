"""The figures of one server with several processes."""

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2

from tests.api.credentials import AUDIENCE, ISSUER, SECRET, make_token
from tests.cli.programs import serving

from .figures import figure, figures_of


def two_free_ports() -> int:
    """Return the first of two neighbours, below those that connections are given by themselves."""
    for port in random.sample(range(20_000, 30_000, 2), 100):
        with suppress(OSError), ExitStack() as taken:
            for number in (port, port + 1):
                taken.enter_context(socket.create_server(("127.0.0.1", number)))
            return port
    raise AssertionError("no two ports beside each other are free")


async def test_each_process_of_a_server_answers_for_its_own_runs(
    tmp_path: Path, new_postgres_url: str, redis_url: str
) -> None:
    port = two_free_ports()
    settings = {
        "DATABASE_URL": new_postgres_url, "REDIS_URL": redis_url, "METRICS_PORT": str(port),
        "LINK_SECRET": SECRET, "JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {make_token()}"}
    with serving(tmp_path, "--workers", "2", **settings) as server:
        async with httpx2.AsyncClient(timeout=30) as client:
            for _ in range(3):
                asked = await client.post(
                    f"{server.url}/ask", json={"prompt": "Hello!"}, headers=headers
                )
                assert asked.json()["run"]["status"] == "completed", asked.text
            shown = [
                await figures_of(client, f"http://127.0.0.1:{number}/metrics")
                for number in (port, port + 1)
            ]
        assert server.stop() == 0
    counted = [figure(one, "runs_ended_total", status="completed", code="") for one in shown]
    assert sum(count or 0 for count in counted) == 3
    assert [figure(one, "unfinished_runs", status="queued") for one in shown] == [0, 0]
