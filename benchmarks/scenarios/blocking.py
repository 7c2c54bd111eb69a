"""Any: nothing holds the event loop up while everything happens at once."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from benchmarks import load
from benchmarks.report import Report, Table
from benchmarks.scenarios.files import picture, upload
from benchmarks.servers import PROGRAM, Lab, Server

_STREAMS, _DELTAS, _INTERVAL = 50, 200, 0.02
_LIMIT_SECONDS = 0.02


async def measure(lab: Lab) -> Report:
    """Run 50 streams beside uploads, page reads and asks."""
    model = lab.model()
    await lab.plan(model, _DELTAS, _INTERVAL)
    command = [sys.executable, "-m", "benchmarks.watched"]
    program = lab.start_program(model, PROGRAM, command, {})
    streams = [program.question(stream=True, user_id=f"user-{n}") for n in range(_STREAMS)]
    answer = await load.once(program.port, program.question(stream=False))
    page = load.get(f"/threads/ada/{answer.json()['thread_id']}")
    uploads = [upload(picture(420, 320)), upload(picture(2_100, 1_600))]
    beside = [[page, load.get("/threads/ada")], uploads, [program.question(stream=False)]]
    for request in [page, *uploads]:
        await load.once(program.port, request)
    os.kill(program.pid, signal.SIGUSR1)
    counts = [0] * len(beside)
    seconds = 6.0 if lab.quick else 20.0
    until = asyncio.get_running_loop().time() + seconds

    async def stream() -> None:
        while asyncio.get_running_loop().time() < until:
            await load.streams(program.port, streams, deltas=_DELTAS, begin_within=1.0)

    async def others(number: int) -> None:
        counts[number] = await load.repeatedly(seconds, _each(program, beside[number]))

    await asyncio.gather(stream(), *(others(number) for number in range(len(beside))))
    lab.end_all()
    busy = [float(value) for value in json.loads((program.folder / "busy.json").read_text())]
    longest = max(busy, default=0.0)
    report = Report()
    report.at_most(
        "any",
        "the event loop is busy with one thing",
        longest * 1000,
        _LIMIT_SECONDS * 1000,
        "{:.0f} ms",
    )
    title = (
        f"{counts[0]} page reads, {counts[1]} uploads, {counts[2]} asks in {seconds:.0f} s"
        f" beside {_STREAMS} streams"
    )
    over = sum(value > _LIMIT_SECONDS for value in busy)
    rows = [[title, f"{over} times", f"{longest * 1000:.1f} ms"]]
    report.tables.append(Table("Any: the event loop", ["", "over 20 ms", "longest"], rows))
    return report


def _each(program: Server, requests: list[bytes]) -> Callable[[], Awaitable[object]]:
    turns = itertools.cycle(requests)

    async def act() -> None:
        await load.once(program.port, next(turns))
        await asyncio.sleep(0.02)

    return act
