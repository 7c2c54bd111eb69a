"""Programs die at any moment while many users talk to them, and every promise holds."""

import asyncio
import random
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.api.credentials import AUDIENCE, ISSUER, SECRET, make_token
from tests.model_server import ModelServerSimulation
from tests.processes import ProgramProcess, ServerProcess, server_process

from promises.audit import audit, audit_stored
from promises.ledger import Ledger
from promises.load import Person
from promises.markers import Model
from promises.service import Service

_DAY_SECONDS = 86_400


def _token(user_id: str) -> str:
    return make_token(user_id, exp=int(time.time()) + _DAY_SECONDS)


def _settings(upstream: ModelServerSimulation) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "JWT_SECRET": SECRET,
        "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE,
    }  # fmt: skip


async def _talk(person: Person, enough: asyncio.Event) -> None:
    while not enough.is_set():
        await person.act()


async def _one_answers(servers: Sequence[ServerProcess]) -> None:
    waiting = [asyncio.ensure_future(server.answers()) for server in servers]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


async def test_one_process_on_sqlite_may_be_killed_at_any_moment(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    upstream.default = model = Model()
    enough = asyncio.Event()
    with server_process(tmp_path, **_settings(upstream)) as server:
        ledger, service = Ledger(), Service([server.url], chance)
        people = [Person(ledger, service, chance, _token) for _ in range(4)]
        await server.start()
        talks = [asyncio.ensure_future(_talk(person, enough)) for person in people]
        for _ in range(1_000 if full else 25):
            if chance.random() < 0.5:  # the others die while they start
                await server.answers()
            await asyncio.sleep(chance.uniform(0, 1))
            server.kill()
            assert await audit_stored(ledger, _copy(tmp_path)) == []
            server.spawn()
        await server.answers()
        enough.set()
        await asyncio.gather(*talks)
        audited = await audit(
            ledger, people, database_url=f"sqlite:///{tmp_path / 'data' / 'assistant.db'}",
            files_url=(tmp_path / "data" / "files").as_uri(), log_is_lost=True,
        )  # fmt: skip
        await service.close()
    print(audited.figures)  # noqa: T201 - what the promises were held to
    assert audited.wrong == []
    assert model.mixed == []


async def test_replicas_and_workers_may_be_killed_at_any_moment(
    tmp_path: Path,
    new_postgres_url: str,
    redis_url: str,
    upstream: ModelServerSimulation,
    chance: random.Random,
    full: bool,
) -> None:
    upstream.default = model = Model()
    files_url = (tmp_path / "files").as_uri()
    settings = _settings(upstream) | {
        "DATABASE_URL": new_postgres_url, "REDIS_URL": redis_url, "FILES_URL": files_url,
        "LINK_SECRET": "0f9a4c7be2d81536" * 4, "LEASE_SECONDS": "2",
    }  # fmt: skip
    enough = asyncio.Event()
    with ExitStack() as stack:
        servers = [ServerProcess(tmp_path, **settings) for _ in range(3)]
        programs = [*servers, ProgramProcess(tmp_path, "worker", **settings)]
        for program in programs:
            stack.callback(program.close)
            program.spawn()
        ledger, service = Ledger(), Service([server.url for server in servers], chance)
        people = [Person(ledger, service, chance, _token) for _ in range(8)]
        await asyncio.gather(*(server.answers() for server in servers))
        talks = [asyncio.ensure_future(_talk(person, enough)) for person in people]
        for _ in range(350 if full else 20):
            await asyncio.sleep(chance.uniform(0, 1.5))
            program = chance.choice(programs)
            await _one_answers([server for server in servers if server is not program])
            program.kill()
            program.spawn()
        enough.set()
        await asyncio.gather(*talks)
        audited = await audit(ledger, people, database_url=new_postgres_url, files_url=files_url)
        await service.close()
    print(audited.figures)  # noqa: T201 - what the promises were held to
    assert audited.wrong == []
    assert model.mixed == []


def _copy(folder: Path) -> str:
    """Copy a dead program's database as it lies there: who opens it changes it."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in (folder / "data").glob("assistant.db*"):
        shutil.copy(file, copy)
    return f"sqlite:///{copy / 'assistant.db'}"
