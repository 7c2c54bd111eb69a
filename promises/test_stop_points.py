"""The program dies before or after any step of what it does, and every promise holds."""

import random
from pathlib import Path

from tests.model_server import ModelServerSimulation
from tests.processes import free_port

from promises.audit import audit
from promises.crowd import settings_for, talking
from promises.markers import Model
from promises.stop_points import POINTS, StoppingServer

_PATIENCE_SECONDS = 60.0


async def test_a_kill_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    assert len(POINTS) >= 40
    upstream.default = model = Model(delay_seconds=0.001)
    port = free_port()
    server = StoppingServer(tmp_path, port, settings_for(upstream))
    missed: list[str] = []
    try:
        async with talking([f"http://127.0.0.1:{port}"], chance, 4) as crowd:
            for point in POINTS * 10 if full else chance.sample(POINTS, 8):
                server.start(point, chance.randint(1, 3) if "resume_runs" not in point else 1)
                if not await server.died(_PATIENCE_SECONDS):
                    missed.append(point)
                    server.close()
            server.start()
            await crowd.finish()
            audited = await audit(
                crowd.ledger, crowd.people, files_url=(tmp_path / "data" / "files").as_uri(),
                database_url=f"sqlite:///{tmp_path / 'data' / 'assistant.db'}", log_is_lost=True,
            )  # fmt: skip
    finally:
        server.close()
    print(audited.figures)  # noqa: T201 - what the promises were held to
    assert audited.wrong == []
    assert missed == []
    assert model.mixed == []
