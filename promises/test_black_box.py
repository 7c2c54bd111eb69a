"""Whatever the program stands on, it says the same: one conversation over all combinations."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.fixtures.databases import PostgresServer
from tests.fixtures.s3 import make_bucket
from tests.model_server import ModelServerSimulation
from tests.processes import ServerProcess, server_process
from tests.proxies import RoundRobin

from gpt_assistant_api.db import open_database
from gpt_assistant_api.services.keys import create_key
from promises.conversation import Conversation
from promises.transcript import Transcript


@dataclass(frozen=True)
class Combination:
    """What the program stands on, and how many of it there are."""

    folder: Path
    database_url: str
    files_url: str
    redis_url: str | None
    replicas: int = 1


async def _talk(combination: Combination) -> Transcript:
    """Serve on a combination, and return what it said."""
    database = await open_database(combination.database_url)
    try:
        _, key = await create_key(database, "tests")
    finally:
        await database.close()
    async with AsyncExitStack() as stack:
        upstream = stack.enter_context(ModelServerSimulation())
        settings = {
            "OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "LINK_SECRET": "0f9a4c7be2d81536" * 4,
            "DATABASE_URL": combination.database_url, "FILES_URL": combination.files_url,
        }  # fmt: skip
        if combination.redis_url:
            settings["REDIS_URL"] = combination.redis_url
        servers: list[ServerProcess] = [
            stack.enter_context(server_process(combination.folder, **settings))
            for _ in range(combination.replicas)
        ]
        await asyncio.gather(*(server.start() for server in servers))
        front = RoundRobin([server.url for server in servers])
        await stack.enter_async_context(front.laid())
        client = await stack.enter_async_context(
            httpx2.AsyncClient(
                base_url=front.url,
                timeout=60,
                headers={"Authorization": f"Bearer {key}"},
                limits=httpx2.Limits(max_keepalive_connections=0),
            )
        )
        conversation = Conversation(client, upstream)
        await conversation.hold()
        await _check_complete(client, conversation.said)
    return conversation.said


async def _check_complete(client: httpx2.AsyncClient, said: Transcript) -> None:
    """A conversation that leaves an operation out shows nothing of it."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    operations = {
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$"))
        for path, methods in paths.items()
        for method in methods
    }
    missing = {
        (method, path.pattern)
        for method, path in operations
        if not any(method == called and path.match(at) for called, at in said.called)
    }
    assert missing == set()


@pytest.fixture
def combinations(
    tmp_path: Path,
    postgres_server: PostgresServer,
    migrated_postgres: str,
    s3_server: str,
    redis_url: str,
) -> Iterator[list[Combination]]:
    """All eight, each with stores of its own; the most scaled has three replicas."""
    made, names = [], []
    for number in range(8):
        on_postgres, on_s3, on_redis = (bool(number & bit) for bit in (1, 2, 4))
        folder = tmp_path / str(number)
        folder.mkdir()
        if on_postgres:
            names.append(postgres_server.create(migrated_postgres))
        made.append(
            Combination(
                folder,
                postgres_server.url(names[-1])
                if on_postgres
                else f"sqlite:///{folder / 'test.db'}",
                make_bucket(s3_server) if on_s3 else (folder / "files").as_uri(),
                re.sub(r"/0$", f"/{number}", redis_url) if on_redis else None,
                replicas=3 if number == 7 else 1,
            )
        )
    yield made
    for name in names:
        postgres_server.drop(name)


async def test_all_eight_combinations_of_stores_say_the_same(
    combinations: list[Combination],
) -> None:
    two_at_a_time = asyncio.Semaphore(2)

    async def one(combination: Combination) -> Transcript:
        async with two_at_a_time:
            return await _talk(combination)

    first, *others = await asyncio.gather(*map(one, combinations))
    different = [
        (combination.folder.name, here, there)
        for combination, other in zip(combinations[1:], others, strict=True)
        for here, there in zip(first.entries, other.entries, strict=True)
        if here != there
    ]
    assert different == []
