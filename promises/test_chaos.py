"""Programs die or are replaced while many users talk to them, and every promise holds."""

import asyncio
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.model_server import ModelServerSimulation

from promises.audit import Audit, audit, audit_stored
from promises.crowd import Crowd, settings_for, talking
from promises.forked import ForkedProgram, ForkedServer, forked_server
from promises.markers import Model


@pytest.fixture
def model(upstream: ModelServerSimulation) -> Model:
    """What the model server says."""
    upstream.default = model = Model()
    return model


@dataclass(frozen=True)
class Fleet:
    """Programs that share everything."""

    servers: list[ForkedServer]
    worker: ForkedProgram
    settings: dict[str, str]

    async def start(self) -> None:
        """Start all of it, and wait until the servers answer."""
        for program in [*self.servers, self.worker]:
            program.spawn()
        await asyncio.gather(*(server.answers() for server in self.servers))

    async def audit(self, crowd: Crowd) -> Audit:
        """Hold what is stored against what the crowd knows."""
        return await audit(
            crowd.ledger, crowd.people, database_url=self.settings["DATABASE_URL"],
            files_url=self.settings["FILES_URL"],
        )  # fmt: skip


@pytest.fixture
def fleet(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    new_postgres_url: str,
    redis_url: str,
    upstream: ModelServerSimulation,
) -> Iterator[Fleet]:
    """Three servers and a worker on PostgreSQL and Redis; the parameter is their lease."""
    settings = settings_for(upstream) | {
        "DATABASE_URL": new_postgres_url, "REDIS_URL": redis_url,
        "FILES_URL": (tmp_path / "files").as_uri(), "LEASE_SECONDS": request.param,
    }  # fmt: skip
    with ExitStack() as stack:
        servers = [stack.enter_context(forked_server(tmp_path, **settings)) for _ in range(3)]
        worker = ForkedProgram(tmp_path, "worker", **settings)
        stack.callback(worker.kill)
        yield Fleet(servers, worker, settings)


async def _one_answers(servers: Sequence[ForkedServer]) -> None:
    waiting = [asyncio.ensure_future(server.answers()) for server in servers]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


async def test_one_process_on_sqlite_may_be_killed_at_any_moment(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    upstream.default = model = Model(delay_seconds=0.002)  # an answer or two between two kills
    data = tmp_path / "data"
    with forked_server(tmp_path, **settings_for(upstream)) as server:
        server.spawn()
        await server.answers()
        async with talking([server.url], chance, 4) as crowd:
            for _ in range(1_000 if full else 50):
                if chance.random() < 0.7:  # the others die while they start
                    await server.answers()
                await asyncio.sleep(chance.uniform(0, 0.5))
                server.kill()
                assert await audit_stored(crowd.ledger, _copy(data, tmp_path / "copy")) == []
                server.spawn()
            await server.answers()
            await crowd.finish()
            audited = await audit(
                crowd.ledger, crowd.people, database_url=f"sqlite:///{data / 'assistant.db'}",
                files_url=(data / "files").as_uri(), log_is_lost=True,
            )  # fmt: skip
    _check(audited, model)


@pytest.mark.parametrize("fleet", ["2"], indirect=True)
async def test_replicas_and_workers_may_be_killed_at_any_moment(
    fleet: Fleet, model: Model, chance: random.Random, full: bool
) -> None:
    await fleet.start()
    programs = [*fleet.servers, fleet.worker]
    async with talking([server.url for server in fleet.servers], chance, 8) as crowd:
        for _ in range(350 if full else 20):
            await asyncio.sleep(chance.uniform(0, 1.5))
            program = chance.choice(programs)
            await _one_answers([server for server in fleet.servers if server is not program])
            program.kill()
            program.spawn()
        await crowd.finish()
        audited = await fleet.audit(crowd)
    _check(audited, model)


# With this lease a run that is not handed over at once does not end before the test does.
@pytest.mark.parametrize("fleet", ["600"], indirect=True)
async def test_replicas_are_replaced_one_by_one_and_no_request_fails(
    fleet: Fleet, model: Model, chance: random.Random, full: bool
) -> None:
    await fleet.start()
    async with talking([server.url for server in fleet.servers], chance, 8) as crowd:
        for _ in range(20 if full else 1):
            for server in fleet.servers:
                await asyncio.sleep(chance.uniform(0, 1))
                crowd.service.take_out(server.url)
                await server.answers()  # so whoever came before this has been let in as well
                assert await asyncio.to_thread(server.terminate) == 0
                await server.start()
                crowd.service.put_back(server.url)
            assert await asyncio.to_thread(fleet.worker.terminate) == 0
            fleet.worker.spawn()
        await crowd.finish()
        audited = await fleet.audit(crowd)
    _check(audited, model)
    assert audited.figures["without an answer"] == 0
    assert audited.figures["restarts seen"] > 0


def _check(audited: Audit, model: Model) -> None:
    print(audited.figures)  # noqa: T201 - what the promises were held to
    assert audited.wrong == []
    assert model.mixed == []


def _copy(data: Path, copy: Path) -> str:
    """Copy a dead program's database as it lies there: who opens it changes it."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in data.glob("assistant.db*"):
        shutil.copy(file, copy)
    return f"sqlite:///{copy / 'assistant.db'}"
