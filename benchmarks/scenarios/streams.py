"""S2: answers that stream, 200 deltas each."""

from dataclasses import dataclass

from benchmarks import load
from benchmarks.measure import percentile, resident_bytes
from benchmarks.peers import litellm
from benchmarks.report import Report, Table
from benchmarks.rounds import CpuTime, Quantities, Rounds, interleaved
from benchmarks.scenarios.asks import R1, R3
from benchmarks.servers import PROGRAM, Lab, Server

_DELTAS = 200
_INTERVAL = 0.02
_IN_TIME_SECONDS = 0.1
_SECONDS_PER_BEGINNING = 0.005
R0 = "R0 model server"


@dataclass(frozen=True)
class _Load:
    """So many streams at once, and `interval` seconds between their deltas."""

    at_once: int
    interval: float

    @property
    def title(self) -> str:
        pace = f"{self.interval * 1000:.0f} ms" if self.interval else "as fast as possible"
        return f"{self.at_once} streams, {pace}"


async def measure(lab: Lab) -> Report:
    """Measure what a delta costs, how late it is, and how soon the first one comes."""
    model = lab.model()
    servers = [
        model,
        lab.pass_through(model),
        lab.sdk_relay(model),
        lab.lean_relay(model),
        lab.program(model),
    ]
    paced = (50, 200, 400) if lab.quick else (50, 200, 400, 500)
    loads = [_Load(n, _INTERVAL) for n in paced]
    loads += [_Load(n, 0) for n in ((50,) if lab.quick else (50, 200))]
    report, found = Report(), {}
    for streams in loads:
        crowd = streams.interval > 0 and streams.at_once > 200
        # Who cannot keep up at 200 would only hold everything up here.
        some = [s for s in servers if not crowd or s.name in {R0, R1, R3, PROGRAM}]
        if streams == _Load(200, _INTERVAL):
            some = [*some, *litellm(lab, model)]
        await lab.plan(model, _DELTAS, streams.interval)
        found[streams] = await _rounds(lab, some, streams)
        report.tables.append(_table(some, streams, found[streams]))
    _judge(report, found)
    return report


async def _rounds(lab: Lab, servers: list[Server], streams: _Load) -> Rounds:
    begin_within = max(1.0, streams.at_once * _SECONDS_PER_BEGINNING) if streams.interval else 0.0
    times = 1 if streams.interval else 4

    async def sample(server: Server) -> Quantities:
        requests = [
            server.question(stream=True, user_id=f"user-{n % 50}") for n in range(streams.at_once)
        ]
        taken: list[load.Stream] = []
        before = resident_bytes(server.pid)
        async with CpuTime(server) as cpu:
            for _ in range(times):
                taken += await load.streams(
                    server.port, requests, deltas=_DELTAS, begin_within=begin_within
                )
        late = [seconds for stream in taken for seconds in stream.lateness]
        return {
            "cpu_ms": cpu.seconds / len(late) * 1e6,
            "first_ms": percentile([s.first_delta_at - s.began for s in taken], 50) * 1000,
            "late_p50_ms": percentile(late, 50) * 1000,
            "late_p99_ms": percentile(late, 99) * 1000,
            "in_time": sum(seconds <= _IN_TIME_SECONDS for seconds in late) / len(late) * 100,
            "kb": (resident_bytes(server.pid) - before) / streams.at_once / 1000,
        }

    return await interleaved(servers, lab.rounds, sample)


def _judge(report: Report, found: dict[_Load, Rounds]) -> None:
    paced = found[_Load(200, _INTERVAL)]
    for reference, limit in ((R3, 1.3), (R1, 4.0)):
        what = f"200 streams at 20 ms: CPU a delta, beside {reference}"
        report.at_most("S2", what, paced.ratio(PROGRAM, reference, "cpu_ms"), limit)
    crowd, what = found[_Load(400, _INTERVAL)], "400 streams at 20 ms on one core"
    in_time = crowd.median(PROGRAM, "in_time")
    report.aim(
        "S2", f"{what}: delivered in time", "at least 99 %", f"{in_time:.1f} %", met=in_time >= 99
    )
    report.at_most(
        "S2", f"{what}: lateness p99", crowd.median(PROGRAM, "late_p99_ms"), 60, "{:.0f} ms"
    )
    few = found[_Load(50, _INTERVAL)]
    report.at_most(
        "S2",
        "50 streams: the first delta later than from R0, p50",
        few.difference(PROGRAM, R0, "first_ms"),
        3,
        "{:.1f} ms",
    )
    fast = found[_Load(50, 0)].ratio(PROGRAM, R3, "cpu_ms")
    report.at_most("S2", f"50 streams as fast as possible: CPU a delta, beside {R3}", fast, 1.5)


def _table(servers: list[Server], streams: _Load, rounds: Rounds) -> Table:
    def row(server: Server) -> list[str]:
        def median(quantity: str) -> float:
            return rounds.median(server.name, quantity)

        is_model = server.name == R0
        return [
            server.name,
            "" if is_model else f"{median('cpu_ms'):.1f} ms",
            "" if is_model else f"{rounds.ratio(server.name, R3, 'cpu_ms'):.2f}",
            "" if is_model else f"{rounds.ratio(server.name, R1, 'cpu_ms'):.2f}",
            f"{median('first_ms'):.1f} ms",
            f"{median('late_p50_ms'):.1f} ms",
            f"{median('late_p99_ms'):.1f} ms",
            f"{median('in_time'):.1f} %",
            f"{max(0.0, median('kb')):.0f} kB",
        ]

    head = [
        "", "CPU per 1,000 deltas", "x R3", "x R1", "first delta p50", "late p50", "late p99",
        "in time", "memory grown a stream",
    ]  # fmt: skip
    return Table(f"S2: {streams.title}", head, [row(server) for server in servers])
