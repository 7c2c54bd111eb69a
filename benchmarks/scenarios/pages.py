"""S3: pages of 20 messages, and of 10 threads, so that the user who has no more fills one too."""

from benchmarks import load, seed
from benchmarks.measure import BenchmarkError, percentile
from benchmarks.report import Report, Table
from benchmarks.rounds import CpuTime, Quantities, Rounds, interleaved
from benchmarks.servers import PROGRAM, Lab, Server

_AT_ONCE = 4
_R5 = "R5 FastAPI route"


async def measure(lab: Lab) -> Report:
    """Measure what a page costs and how long it takes."""
    messages = [10, 1_000, 100_000] if lab.quick else [10, 1_000, 100_000, 1_000_000]
    threads = [10, 10_000] if lab.quick else [10, 100_000]
    folder = seed.seeded(messages, threads)
    servers = [
        lab.program(lab.model(), DATA_DIR=str(folder)),
        lab.bare_reads(folder / "assistant.db"),
        lab.routed_reads(folder / "assistant.db"),
    ]
    pages = {
        f"20 messages of {size:,}": f"/threads/{seed.user_of_messages(size)}/{seed.thread_id(size)}"
        for size in messages
    } | {
        f"10 threads of {size:,}": f"/threads/{seed.user_of_threads(size)}?limit=10"
        for size in threads
    }
    report, found = Report(), {}
    for title, path in pages.items():
        await _check(servers, path)
        found[title] = await _rounds(lab, servers, path)
        report.tables.append(_table(servers, title, found[title]))
    for title in ("20 messages of 1,000", "10 threads of 10"):
        ratio = found[title].ratio(PROGRAM, _R5, "cpu_us")
        report.at_most("S3", f"a page, {title}: CPU, beside {_R5}", ratio, 1.3)
    for count, kind, small, large in (
        (20, "messages", 1_000, messages[-1]),
        (10, "threads", threads[0], threads[-1]),
    ):
        few, many = f"{count} {kind} of {small:,}", f"{count} {kind} of {large:,}"
        costs = [found[title].median(PROGRAM, "cpu_us") for title in (few, many)]
        report.at_most(
            "S3", f"CPU a page: {large:,} beside {small:,} {kind}", costs[1] / costs[0], 1.2
        )
    return report


async def _check(servers: list[Server], path: str) -> None:
    """See that all give the same page: what is cheaper because it does less is no reference."""
    pages = [(await load.once(server.port, load.get(path))).json() for server in servers]
    for page in pages:
        page.pop("next_cursor", None)
    if not all(page == pages[0] for page in pages):
        raise BenchmarkError(f"the pages of {path} differ")


async def _rounds(lab: Lab, servers: list[Server], path: str) -> Rounds:
    count = 400 if lab.quick else 1_500

    async def sample(server: Server) -> Quantities:
        async with CpuTime(server) as cpu:
            answers = await load.in_turns(server.port, [load.get(path)] * count, at_once=_AT_ONCE)
        return {
            "cpu_us": cpu.seconds / count * 1e6,
            "p50_ms": percentile([answer.seconds for answer in answers], 50) * 1000,
            "p99_ms": percentile([answer.seconds for answer in answers], 99) * 1000,
        }

    return await interleaved(servers, lab.rounds, sample)


def _table(servers: list[Server], title: str, rounds: Rounds) -> Table:
    rows = [
        [
            server.name,
            f"{rounds.median(server.name, 'cpu_us'):.0f} us",
            f"{rounds.ratio(server.name, _R5, 'cpu_us'):.2f}",
            f"{rounds.median(server.name, 'p50_ms'):.2f} ms",
            f"{rounds.median(server.name, 'p99_ms'):.2f} ms",
        ]
        for server in servers
    ]
    return Table(f"S3: {title}", ["", "CPU a page", "x R5", "p50", "p99"], rows)
