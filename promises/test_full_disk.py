"""The disk is full or fails: what would be written at that moment is refused, and nothing else."""

import asyncio
import random
import resource
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from itertools import starmap
from pathlib import Path

import pytest
from tests.model_server import ModelServerSimulation
from tests.processes import ServerProcess, server_process

from promises.audit import audit
from promises.crowd import Crowd, settings_for, talking
from promises.load import Person
from promises.markers import Model

Fault = Callable[[ServerProcess, Path], AbstractContextManager[None]]

_MEGABYTE = 2**20
_PATIENCE_SECONDS = 60.0


@contextmanager
def fills_up(_: ServerProcess, data: Path) -> Iterator[None]:
    """Leave the disk no room."""
    ballast = data / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(_MEGABYTE))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def takes_nothing(server: ServerProcess, _: Path) -> Iterator[None]:
    """Let no write of the program to any file succeed."""
    limit = resource.RLIMIT_FSIZE
    soft, hard = resource.prlimit(server.pid, limit)
    resource.prlimit(server.pid, limit, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(server.pid, limit, (soft, hard))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Lay a small disk of its own at a folder, where we may."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("takes the right to mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(params=[fills_up, takes_nothing], ids=lambda fault: fault.__name__)
def fault(request: pytest.FixtureRequest, data: Path) -> Iterator[Fault]:
    """What happens to the disk."""
    with small_disk(data) if request.param is fills_up else nullcontext():
        yield request.param


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where the program keeps everything."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


async def test_a_disk_that_fails_costs_the_writes_of_that_moment_and_nothing_else(
    data: Path, fault: Fault, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    async with _audited_crowd(data, upstream, chance) as (server, crowd):
        for _ in range(50 if full else 3):
            await asyncio.sleep(chance.uniform(0.1, 1))
            with fault(server, data):
                pressing = await _press(crowd)
                await _check_readable(crowd)
            await _becomes_ready(crowd)
            await pressing  # what was refused is done now


async def test_calls_that_fail_now_and_then_lose_nothing_that_was_acknowledged(
    data: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    async with _audited_crowd(data, upstream, chance) as (server, crowd):
        for _ in range(2_000 if full else 100):
            await asyncio.sleep(chance.uniform(0, 0.05))
            with takes_nothing(server, data):
                await asyncio.sleep(chance.uniform(0, 0.005))
        await _becomes_ready(crowd)


@asynccontextmanager
async def _audited_crowd(
    data: Path, upstream: ModelServerSimulation, chance: random.Random
) -> AsyncGenerator[tuple[ServerProcess, Crowd], None]:
    """Have people talk to a server on SQLite while the block lasts, and audit it after that."""
    upstream.default = model = Model(delay_seconds=0.005)
    url, files_url = f"sqlite:///{data / 'assistant.db'}", (data / "files").as_uri()
    with server_process(data.parent, **settings_for(upstream)) as server:
        await server.start()
        async with talking([server.url], chance, 4) as crowd:
            crowd.ledger.trouble |= {"database_unavailable", "files_unavailable"}
            yield server, crowd
            await crowd.finish()
            audited = await audit(crowd.ledger, crowd.people, database_url=url, files_url=files_url)
        assert "Traceback" not in server.log.read_text()
    print(audited.figures, dict(crowd.ledger.refusals))  # noqa: T201 - what was seen
    assert audited.wrong == []
    assert model.mixed == []


async def _press(crowd: Crowd) -> asyncio.Future[list[None]]:
    """Have everybody ask until both stores refuse them, and return their last asking."""
    refusals = crowd.ledger.refusals
    enough = {code: refusals[code] + 5 for code in crowd.ledger.trouble}

    def is_enough() -> bool:
        return all(refusals[code] >= count for code, count in enough.items())

    async def press(number: int, person: Person) -> None:
        while not is_enough():
            await person.ask("later", picture=number % 2 == 0)

    pressing = asyncio.gather(*starmap(press, enumerate(crowd.people)))
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not is_enough():  # noqa: ASYNC110 - everybody brings it about
            await asyncio.sleep(0.02)
    return pressing


async def _check_readable(crowd: Crowd) -> None:
    assert (await crowd.service.request("GET", "/healthz")).status_code == 200
    assert (await crowd.service.request("GET", "/readyz")).status_code == 503
    for person in crowd.people:
        threads = await person.read(f"/threads/{person.user_id}")
        assert threads.status_code == 200
        for thread in threads.json()["threads"]:
            messages = await person.read(f"/threads/{person.user_id}/{thread['thread_id']}")
            assert messages.status_code == 200
        found = await person.read(f"/search/{person.user_id}?q=a")
        assert found.status_code == 200


async def _becomes_ready(crowd: Crowd) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await crowd.service.request("GET", "/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
