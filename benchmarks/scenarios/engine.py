"""S7: how long a run waits for its worker, and what the engine costs by itself."""

from datetime import datetime
from typing import Any

from benchmarks import load
from benchmarks.measure import median, percentile
from benchmarks.report import Report, Table
from benchmarks.servers import ON_REDIS, PROGRAM, Lab, Server


async def measure(lab: Lab) -> Report:
    """Measure both engines."""
    model, redis_url = lab.model(), lab.redis_url()
    await lab.plan(model, 5)
    servers = [lab.program(model), lab.program(model, ON_REDIS, REDIS_URL=redis_url)]
    waits, costs = [], []
    for server in servers:
        for at_once in (1, 64):
            await _waits(server, at_once, at_once)
            seconds = await _waits(server, at_once, 64 if lab.quick else 256)
            p50, p99 = (percentile(seconds, percent) * 1000 for percent in (50, 99))
            waits.append([server.name, f"{at_once}", f"{p50:.1f} ms", f"{p99:.1f} ms"])
    for name, url in ((PROGRAM, "memory://"), (ON_REDIS, redis_url)):
        for at_once in (1, 16):
            outputs = [
                lab.output(["-m", "benchmarks.engine_alone", url, "480", str(at_once)])
                for _ in range(lab.rounds)
            ]
            costs.append([name, f"{at_once}", f"{median(map(float, outputs)) * 1000:.2f} ms"])
    return Report(
        tables=[
            Table("S7: from queued to started", ["", "asks at once", "p50", "p99"], waits),
            Table("S7: the engine alone", ["", "runs at once", "CPU a run"], costs),
        ]
    )


async def _waits(server: Server, at_once: int, count: int) -> list[float]:
    requests = [server.question(stream=False) for _ in range(count)]
    answers = await load.in_turns(server.port, requests, at_once=at_once)
    return [_wait(answer.json()["run"]) for answer in answers]


def _wait(run: dict[str, Any]) -> float:
    created, started = (datetime.fromisoformat(run[name]) for name in ("created_at", "started_at"))
    return (started - created).total_seconds()
