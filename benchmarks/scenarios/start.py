"""S6: from nothing to the first answer."""

import time
from pathlib import Path

from benchmarks import load
from benchmarks.measure import cpu_seconds, median, resident_bytes
from benchmarks.report import Report, Table
from benchmarks.servers import Lab, Server


async def measure(lab: Lab) -> Report:
    """Measure the start on an empty folder, and again on one that has its database."""
    model = lab.model()
    kept = lab.new_folder()
    await _start(lab, model, kept)
    rows, firsts, memories = [], [], []
    for title, folder in (("on an empty folder", None), ("with its database", kept)):
        samples = [await _start(lab, model, folder or lab.new_folder()) for _ in range(lab.rounds)]
        seconds, cpu, memory = (median(values) for values in zip(*samples, strict=True))
        rows.append([title, f"{seconds:.2f} s", f"{cpu:.2f} s", f"{memory / 1e6:.0f} MB"])
        firsts.append(seconds)
        memories.append(memory)
    report = Report()
    report.at_most("S6", "from the start to the first answer", max(firsts), 1.2, "{:.2f} s")
    report.at_most("S6", "memory then", max(memories) / 1e6, 80, "{:.0f} MB")
    head = ["", "first 200", "CPU until then", "memory"]
    report.tables.append(Table("S6: cold start", head, rows))
    return report


async def _start(lab: Lab, model: Server, folder: Path) -> tuple[float, float, float]:
    began = time.monotonic()
    program = lab.program(model, DATA_DIR=str(folder))
    await load.once(program.port, load.get("/healthz"))
    seconds = time.monotonic() - began
    found = seconds, cpu_seconds(program.pid), resident_bytes(program.pid)
    lab.end(program)
    return found
