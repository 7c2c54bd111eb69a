"""S1: asks that are answered whole."""

from benchmarks import load
from benchmarks.measure import percentile
from benchmarks.peers import litellm
from benchmarks.report import Report, Table
from benchmarks.rounds import CpuTime, Quantities, Rounds, interleaved
from benchmarks.servers import ON_REDIS, PROGRAM, Lab, Server

_DELTAS = 20
_AT_ONCE = (1, 16, 64)
R1, R2, R3 = "R1 bytes passed on", "R2 official SDK", "R3 lean relay"


async def measure(lab: Lab) -> Report:
    """Measure requests a second, how long they take and what they cost."""
    model = lab.model()
    servers = [
        lab.pass_through(model),
        lab.sdk_relay(model),
        lab.lean_relay(model),
        lab.program(model),
        lab.program(model, ON_REDIS, REDIS_URL=lab.redis_url()),
        *litellm(lab, model),
    ]
    await lab.plan(model, _DELTAS)
    found = {at_once: await _rounds(lab, servers, at_once) for at_once in _AT_ONCE}
    report = Report()
    report.tables += [_table(servers, at_once, rounds) for at_once, rounds in found.items()]
    for name in (PROGRAM, ON_REDIS):
        rounds, where = found[16], " on Redis" if name == ON_REDIS else ""
        for reference, limit in ((R3, 3.0), (R2, 1.0)):
            report.at_most(
                "S1",
                f"16 at once{where}: CPU an ask, beside {reference}",
                rounds.ratio(name, reference, "cpu_ms"),
                limit,
            )
    return report


async def _rounds(lab: Lab, servers: list[Server], at_once: int) -> Rounds:
    count = (40 if at_once == 1 else 192) * (1 if lab.quick else 3)

    async def sample(server: Server) -> Quantities:
        requests = [server.question(stream=False, user_id=f"user-{n % 50}") for n in range(count)]
        async with CpuTime(server) as cpu:
            answers = await load.in_turns(server.port, requests, at_once=at_once)
        seconds = [answer.seconds for answer in answers]
        began, ended = min(a.began for a in answers), max(a.ended for a in answers)
        return {
            "cpu_ms": cpu.seconds / count * 1000,
            "per_second": count / (ended - began),
            "p50_ms": percentile(seconds, 50) * 1000,
            "p99_ms": percentile(seconds, 99) * 1000,
        }

    return await interleaved(servers, lab.rounds, sample)


def _table(servers: list[Server], at_once: int, rounds: Rounds) -> Table:
    rows = [
        [
            server.name,
            f"{rounds.median(server.name, 'cpu_ms'):.2f} ms",
            f"{rounds.ratio(server.name, R3, 'cpu_ms'):.2f}",
            f"{rounds.median(server.name, 'per_second'):.0f}",
            f"{rounds.median(server.name, 'p50_ms'):.1f} ms",
            f"{rounds.median(server.name, 'p99_ms'):.1f} ms",
        ]
        for server in servers
    ]
    head = ["", "CPU an ask", "x R3", "asks/s", "p50", "p99"]
    return Table(f"S1: asks without a stream, {at_once} at once", head, rows)
