"""Fixtures for all tests: the program on a real socket, and the model server that it talks to."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.model_server import ModelServerSimulation
from tests.server import RunningServer, client_of, make_settings, running

pytest_plugins = ["tests.fixtures.databases", "tests.fixtures.redis", "tests.fixtures.s3"]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run async tests on the loop that the server uses in production."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def upstream() -> Iterator[ModelServerSimulation]:
    """A model server on a real socket."""
    with ModelServerSimulation() as server:
        yield server


@pytest.fixture
def server(
    tmp_path: Path, database_url: str, upstream: ModelServerSimulation
) -> Iterator[RunningServer]:
    """The program in open mode on either database, answered by the simulated model server."""
    settings = make_settings(
        tmp_path,
        database_url=database_url,
        openai_base_url=upstream.url,
        model="sim",
        model_api="responses",
    )
    with running(settings) as server:
        yield server


@pytest.fixture
async def client(server: RunningServer) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client of `server`."""
    async with client_of(server) as client:
        yield client
