"""The program dies before or after any step of what it does, and every promise holds."""

import asyncio
import random
from pathlib import Path

from tests.api.credentials import AUDIENCE, ISSUER, SECRET
from tests.model_server import ModelServerSimulation
from tests.processes import free_port

from promises.audit import audit
from promises.ledger import Ledger
from promises.load import Person
from promises.markers import Model
from promises.service import Service
from promises.stop_points import POINTS, StoppingServer
from promises.test_chaos import _talk, _token

_PATIENCE_SECONDS = 60.0


async def test_a_kill_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    assert len(POINTS) >= 40
    upstream.default = model = Model(delay_seconds=0.001)
    settings = {
        "OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "JWT_SECRET": SECRET,
        "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE,
    }  # fmt: skip
    port = free_port()
    server = StoppingServer(tmp_path, port, settings)
    ledger, service = Ledger(), Service([f"http://127.0.0.1:{port}"], chance)
    people = [Person(ledger, service, chance, _token) for _ in range(4)]
    enough = asyncio.Event()
    missed: list[str] = []
    talks = [asyncio.ensure_future(_talk(person, enough)) for person in people]
    try:
        for point in POINTS * 10 if full else chance.sample(POINTS, 12):
            server.start(point, chance.randint(1, 3) if "resume_runs" not in point else 1)
            if not await server.died(_PATIENCE_SECONDS):
                missed.append(point)
                server.close()
        server.start()
        enough.set()
        await asyncio.gather(*talks)
        audited = await audit(
            ledger, people, database_url=f"sqlite:///{tmp_path / 'data' / 'assistant.db'}",
            files_url=(tmp_path / "data" / "files").as_uri(), log_is_lost=True,
        )  # fmt: skip
    finally:
        server.close()
        await service.close()
    print(audited.figures)  # noqa: T201 - what the promises were held to
    assert missed == []
    assert audited.wrong == []
    assert model.mixed == []
