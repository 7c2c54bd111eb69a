"""Measures: `python -m benchmarks [S1 S2 ...] [--quick] [--rounds N] [--litellm] [--write]`.

`--quick` is for development: fewer rounds, less in each, smaller threads. `--litellm` measures that
proxy as well. `--write` puts the figures into README.md and docs/benchmarks.md.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks import machine, report
from benchmarks.report import Report
from benchmarks.scenarios import asks, blocking, engine, files, idle, pages, start, streams
from benchmarks.servers import Lab

_ROOT = Path(__file__).parents[1]
_SCENARIOS: dict[str, Callable[[Lab], Awaitable[Report]]] = {
    "S1": asks.measure,
    "S2": streams.measure,
    "S3": pages.measure,
    "S4": files.measure,
    "S5": idle.measure,
    "S6": start.measure,
    "S7": engine.measure,
    "any": blocking.measure,
}


async def _measure(chosen: list[str], lab: Lab) -> Report:
    whole = Report()
    for name in chosen:
        began = time.monotonic()
        found = await _SCENARIOS[name](lab)
        lab.end_all()
        for table in found.tables:
            print(f"\n{table.title}\n\n{report.markdown(table.head, table.rows)}")
        print(f"{report.aims_table(found.aims)}\n{name}: {time.monotonic() - began:.0f} s")
        whole.add(found)
    return whole


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="S1", help="S1 ... S7, any")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--litellm", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(_SCENARIOS):
        parser.error(f"no such scenario: {', '.join(unknown)}")
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    machine.allow_many_connections()
    # Whoever ends it ends what it has started as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Lab(
            Path(folder), quick=arguments.quick, rounds=rounds, with_litellm=arguments.litellm
        ) as lab,
    ):
        found = uvloop.run(_measure(arguments.scenarios or list(_SCENARIOS), lab))
    given = [argument for argument in sys.argv[1:] if argument != "--write"]
    command = f'make bench ARGS="{" ".join(given)}"' if given else "make bench"
    if arguments.write:
        text = report.whole(found, machine.description(), command)
        report.put(_ROOT / "docs" / "benchmarks.md", text)
        report.put(_ROOT / "README.md", report.short(found, machine.description(), command))
    print(f"\n{report.aims_table(found.aims)}")


if __name__ == "__main__":
    main()
