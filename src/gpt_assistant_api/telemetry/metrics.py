"""The figures of one process, in the terms of Prometheus.

Labels have few values and none comes from outside: no ids, no names, no texts. Every process
answers for itself; what all of them say alike, since it is in the database, says so in its help.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.metadata import version
from typing import get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric

from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.runs import EndStatus
from gpt_assistant_api.telemetry.requests import RequestFigures
from gpt_assistant_api.telemetry.tracing import own_resource

_FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_RUN_SECONDS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_DATABASE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Readings:
    """What is looked at when somebody asks for the figures, and at no other time.

    `pools`: connections in use, their greatest number, and how many wait for one, by pool.
    `unfinished`: runs queued, in progress, and due but not begun, of all processes together.
    """

    executing: Callable[[], int]
    pools: Callable[[], Mapping[str, tuple[int, int, int]]]
    unfinished: Callable[[], Awaitable[tuple[int, int, int]]]


class Metrics:
    """The instruments, and the text that Prometheus reads."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.runs_ended = Counter(
            "gpt_assistant_runs_ended",
            "Runs that ended here, by status and, where it has one, error code.",
            ["status", "code"],
            registry=registry,
        )
        self.run_duration = Histogram(
            "gpt_assistant_run_duration_seconds",
            "From the ask to the end of the run, waiting included.",
            ["status"],
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self.run_first_token = Histogram(
            "gpt_assistant_run_first_token_seconds",
            "From the ask to the first text of the answer, waiting included.",
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self.attempts = Counter(
            "gpt_assistant_run_attempts",
            "Attempts at runs begun here; `again` after a restart, a crash or a lost lease.",
            ["kind"],
            registry=registry,
        )
        self.model_first_token = Histogram(
            "gpt_assistant_model_first_token_seconds",
            "From the request to the model server to its first text, retries included.",
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self.model_errors = Counter(
            "gpt_assistant_model_errors",
            "Answers that the model server failed to give, after all retries, by error code.",
            ["code"],
            registry=registry,
        )
        self.tokens = Counter(
            "gpt_assistant_tokens",
            "Tokens as the model server counted them, input and output.",
            ["direction"],
            registry=registry,
        )
        self.open_streams = Gauge(
            "gpt_assistant_open_streams",
            "Streams of events that clients of this process read now.",
            registry=registry,
        )
        self.files = Counter(
            "gpt_assistant_accepted_files", "Files that were accepted.", registry=registry
        )
        self.file_bytes = Counter(
            "gpt_assistant_accepted_file_bytes",
            "Bytes of the files that were accepted, as they are stored.",
            registry=registry,
        )
        self.requests = RequestFigures(registry)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        # A rate needs a first value to grow from.
        for status in get_args(EndStatus):
            self.run_duration.labels(status)
            self.runs_ended.labels(status, "")
        for kind in ("first", "again"):
            self.attempts.labels(kind)
        for direction in ("input", "output"):
            self.tokens.labels(direction)

    def about_process(self) -> None:
        """Add what the operating system knows of this process, and who it is."""
        ProcessCollector(registry=self.registry)
        about = Info("gpt_assistant_build", "The version of the program.", registry=self.registry)
        about.info({"version": version("gpt-assistant-api")})
        target = Info("target", "Target metadata", registry=self.registry)
        named = own_resource().attributes.items()
        target.info({name.replace(".", "_"): str(value) for name, value in named})

    def read_from(self, readings: Readings) -> None:
        """Have the figures looked at from now on; needs the running loop."""
        self.registry.register(_Collector(readings, asyncio.get_running_loop()))

    async def render(self) -> bytes:
        """Return the figures as Prometheus reads them."""
        # In a thread: it waits for what the loop reads from the database.
        return await asyncio.to_thread(generate_latest, self.registry)


class _Collector:
    """Reads what is true at this moment, from whichever thread writes the figures down."""

    def __init__(self, readings: Readings, loop: asyncio.AbstractEventLoop) -> None:
        self._readings = readings
        self._loop = loop

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "gpt_assistant_runs_executing",
            "Runs that this process executes now.",
            value=self._readings.executing(),
        )
        yield from self._pools()
        yield from self._unfinished()

    def _pools(self) -> Iterable[Metric]:
        in_use, most, waiting = (
            GaugeMetricFamily(f"gpt_assistant_database_{name}", text, labels=["pool"])
            for name, text in (
                ("connections_in_use", "Connections to the database that are in use."),
                ("connections_max", "How many there may be at most."),
                ("waiting", "Transactions that wait for a connection."),
            )
        )
        for pool, numbers in self._readings.pools().items():
            for family, number in zip((in_use, most, waiting), numbers, strict=True):
                family.add_metric([pool], number)
        return in_use, most, waiting

    def _unfinished(self) -> Iterable[Metric]:
        # What the database does not tell in time is missing, rather than old.
        counting: Future[tuple[int, int, int]] = asyncio.run_coroutine_threadsafe(
            self._count(), self._loop
        )
        try:
            queued, in_progress, due = counting.result(_DATABASE_SECONDS + 1)
        except (UnavailableError, TimeoutError):
            return
        unfinished = GaugeMetricFamily(
            "gpt_assistant_unfinished_runs",
            "Runs that have not ended, from the database: the same on every process.",
            labels=["status"],
        )
        unfinished.add_metric(["queued"], queued)
        unfinished.add_metric(["in_progress"], in_progress)
        yield unfinished
        yield GaugeMetricFamily(
            "gpt_assistant_queue_depth",
            "Runs whose turn it is and that no process has begun, from the database: the same on"
            " every process.",
            value=due,
        )

    async def _count(self) -> tuple[int, int, int]:
        async with asyncio.timeout(_DATABASE_SECONDS):
            return await self._readings.unfinished()
