"""Rounds: A B A B, so that what disturbs the machine disturbs all alike; medians count."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from benchmarks.measure import cpu_seconds, median
from benchmarks.servers import Server

Quantities = dict[str, float]

_AFTERWARDS_SECONDS = 0.15
"""What a server does after its answers is its work as well."""


class Rounds:
    """What was measured of each server, round by round."""

    def __init__(self) -> None:
        self._values: dict[str, list[Quantities]] = {}

    def add(self, name: str, quantities: Quantities) -> None:
        """Keep what a round gave for a server."""
        self._values.setdefault(name, []).append(quantities)

    def median(self, name: str, quantity: str) -> float:
        """Return the median of a server's rounds."""
        return median(values[quantity] for values in self._values[name])

    def ratio(self, name: str, reference: str, quantity: str) -> float:
        """Return the median of the ratios of each round."""
        pairs = zip(self._values[name], self._values[reference], strict=True)
        return median(ours[quantity] / theirs[quantity] for ours, theirs in pairs)

    def difference(self, name: str, reference: str, quantity: str) -> float:
        """Return the median of the differences of each round."""
        pairs = zip(self._values[name], self._values[reference], strict=True)
        return median(ours[quantity] - theirs[quantity] for ours, theirs in pairs)


async def interleaved(
    servers: Sequence[Server],
    rounds: int,
    measure: Callable[[Server], Awaitable[Quantities]],
    *,
    into: Rounds | None = None,
) -> Rounds:
    """Measure each server once a round, there and back; the first measurement of each is void."""
    result = into or Rounds()
    for server in servers:
        await measure(server)
    for number in range(rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            result.add(server.name, await measure(server))
    return result


class CpuTime:
    """The CPU time that a server takes while the block lasts, and a moment afterwards."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        self._before = cpu_seconds(self._server.pid)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(_AFTERWARDS_SECONDS)
        self.seconds = cpu_seconds(self._server.pid) - self._before
