"""The program dies before or after any step of what it does, and every promise holds."""

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.model_server import ModelServerSimulation

from promises.audit import audit
from promises.crowd import settings_for, talking
from promises.forked import forked_server
from promises.markers import Model
from promises.stop_points import POINTS, stop_at

_PATIENCE_SECONDS = 60.0


async def test_a_kill_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    assert len(POINTS) >= 40
    for number, points in enumerate([POINTS] * 10 if full else [chance.sample(POINTS, 8)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        await _killed_at(points, folder, upstream, chance)


async def _killed_at(
    points: Sequence[str], folder: Path, upstream: ModelServerSimulation, chance: random.Random
) -> None:
    upstream.default = model = Model(delay_seconds=0.001)
    missed: list[str] = []
    with forked_server(folder, **settings_for(upstream)) as server:
        async with talking([server.url], chance, 4) as crowd:
            for point in points:
                times = chance.randint(1, 3) if "resume_runs" not in point else 1
                server.spawn(partial(stop_at, point, times))
                if not await server.was_killed(_PATIENCE_SECONDS):
                    missed.append(point)
                    server.kill()
            server.spawn()
            await crowd.finish()
            audited = await audit(
                crowd.ledger, crowd.people, files_url=(folder / "data" / "files").as_uri(),
                database_url=f"sqlite:///{folder / 'data' / 'assistant.db'}", log_is_lost=True,
            )  # fmt: skip
    print(audited.figures)  # noqa: T201 - what the promises were held to
    assert audited.wrong == []
    assert missed == []
    assert model.mixed == []
