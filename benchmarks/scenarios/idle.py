"""S5: streams that are open and silent."""

import asyncio

from benchmarks import load
from benchmarks.measure import cpu_seconds, resident_bytes
from benchmarks.report import Report, Table
from benchmarks.servers import PROGRAM, Lab, Server

_OPENED_AT_ONCE = 20
_SETTLE_SECONDS = 1.0
_IDLE_SECONDS = 5.0


async def measure(lab: Lab) -> Report:
    """Measure the memory and the CPU time of streams whose model server has fallen silent."""
    count = 200 if lab.quick else 1_000
    model = lab.model()
    servers = [lab.pass_through(model), lab.lean_relay(model), lab.program(model)]
    await lab.plan(model, 1)
    for server in servers:  # what the first requests load is not theirs
        question = server.question(stream=True)
        await load.streams(server.port, [question] * 50, deltas=1, begin_within=0.5)
    await lab.plan(model, 1, hold=True)
    report, rows = Report(), []
    for server in servers:
        kilobytes, cpu_ms = await _idle(server, count)
        rows.append([server.name, f"{kilobytes:.0f} kB", f"{cpu_ms:.1f} ms"])
        if server.name == PROGRAM:
            what = f"{count:,} idle streams: memory of one"
            report.at_most("S5", what, kilobytes, 60, "{:.0f} kB")
    head = ["", "memory a stream", "CPU a second, all streams"]
    report.tables.append(Table(f"S5: {count:,} idle streams", head, rows))
    return report


async def _idle(server: Server, count: int) -> tuple[float, float]:
    request = load.addressed(server.question(stream=True), server.port)
    before = resident_bytes(server.pid)
    connections, asked = [], []
    for begun in range(0, count, _OPENED_AT_ONCE):
        streams = []
        for _ in range(begun, min(count, begun + _OPENED_AT_ONCE)):
            connection, stream = await load.Connection.open(server.port), load.Stream(1)
            asked.append(asyncio.ensure_future(connection.ask(request, stream)))
            connections.append(connection)
            streams.append(stream)
        while not all(stream.count for stream in streams):  # noqa: ASYNC110 - the last one counts
            await asyncio.sleep(0.005)
    await asyncio.sleep(_SETTLE_SECONDS)
    grown = resident_bytes(server.pid) - before
    cpu = cpu_seconds(server.pid)
    await asyncio.sleep(_IDLE_SECONDS)
    cpu = cpu_seconds(server.pid) - cpu
    for connection in connections:
        connection.close()
    await asyncio.gather(*asked, return_exceptions=True)
    return grown / count / 1000, cpu / _IDLE_SECONDS * 1000
