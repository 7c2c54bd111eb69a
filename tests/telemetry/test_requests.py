"""What the figures tell of requests: each once, by how it ended."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest

from gpt_assistant_api.services import threads
from tests.model_server import Answer, ModelServerSimulation
from tests.server import client_of, make_settings, running

from .figures import Figures, figures_of

DURATION = "http_server_request_duration_seconds_count"


def requests(figures: Figures) -> Counter[tuple[str, str, str, str]]:
    """Return how many requests ended, by method, route, status and what went wrong."""
    names = ("http_request_method", "http_route", "http_response_status_code", "error_type")
    found: Counter[tuple[str, str, str, str]] = Counter()
    for (name, labels), value in figures.items():
        if name == DURATION:
            of = dict(labels)
            assert (of["url_scheme"], of["network_protocol_version"]) == ("http", "1.1")
            method, route, status, error = (of[name] for name in names)
            found[method, route, status, error] += int(value)
    return found


def active(figures: Figures) -> float:
    """Return how many requests there are now, the one that asks included."""
    return sum(
        value for (name, _), value in figures.items() if name == "http_server_active_requests"
    )


async def test_a_request_is_counted_by_its_route_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("broken")

    monkeypatch.setattr(threads, "list_threads", broken)
    with running(make_settings(tmp_path)) as server:
        async with client_of(server) as client:
            await client.get("/runs/run_1")
            await client.get("/nowhere/ada")
            await client.put("/threads/ada")
            await client.request("PROPFIND", "/threads/ada")
            await client.get("/threads/ada")
            figures = await figures_of(client)
    assert requests(figures) == {
        ("GET", "/runs/{run_id}", "404", ""): 1,
        ("GET", "", "404", ""): 1,
        ("PUT", "/threads/{user_id}", "405", ""): 1,
        ("_OTHER", "/threads/{user_id}", "405", ""): 1,
        ("GET", "/threads/{user_id}", "500", "RuntimeError"): 1,
    }
    assert active(figures) == 1


async def test_a_stream_is_active_while_it_is_read_and_may_end_early(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(pause_after=2))
    question = {"user_id": "ada", "prompt": "Hello!", "stream": True}
    async with client.stream("POST", "/ask", json=question) as response:
        lines = response.aiter_lines()
        await anext(lines)
        assert active(await figures_of(client)) == 2
    async with asyncio.timeout(10):
        while active(figures := await figures_of(client)) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert requests(figures)["POST", "/ask", "200", "ConnectionError"] == 1
