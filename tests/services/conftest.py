"""The parts that services work with, opened for one test."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gpt_assistant_api.blobs import Blobs, open_blobs
from gpt_assistant_api.db import Database
from gpt_assistant_api.domain.asks import Asked
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine, open_engine
from gpt_assistant_api.llm.choose import open_model_server
from gpt_assistant_api.services.answers import Answering
from tests.model_server import ModelServerSimulation


@pytest.fixture
def anybody() -> Actor:
    """Whoever reaches a server in open mode."""
    return Actor("open", "open")


@pytest.fixture
def blobs() -> Blobs:
    """A store in memory."""
    return open_blobs("memory:///")


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An embedded engine whose jobs wait for a worker, of which there is none."""
    async with open_engine(f"memory://{uuid4().hex}") as engine:
        engine.register(_nothing)
        yield engine


async def _nothing(_run_id: str, _asked: Asked | None) -> None:
    """Nothing."""


@pytest.fixture
async def answering(
    database: Database, blobs: Blobs, engine: Engine, upstream: ModelServerSimulation
) -> AsyncIterator[Answering]:
    """What answering takes, over the simulated model server."""
    model_server = open_model_server("chat_completions", None, upstream.url, 20.0)
    yield Answering(database, blobs, engine, model_server, "sim", "", 32_000, "worker_1")
    await model_server.close()
