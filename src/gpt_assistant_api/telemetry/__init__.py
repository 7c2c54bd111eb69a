"""What the program tells of its work: figures, spans, and the one line of a run's end.

Objects that `app.py` makes and hands in; nothing is global. Nothing here sees a message's text, and
nothing happens for each delta of an answer.
"""

import asyncio
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic
from typing import Any

import structlog
from opentelemetry.trace import INVALID_SPAN, Span

from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import ModelError
from gpt_assistant_api.domain.runs import Run, Usage
from gpt_assistant_api.telemetry import tracing
from gpt_assistant_api.telemetry.metrics import Metrics
from gpt_assistant_api.telemetry.tracing import Tracing

log = structlog.get_logger(__name__)


class ModelCall:
    """One request to the model server, from its beginning to its last piece of text."""

    def __init__(self, metrics: Metrics, run: Run, span: Span) -> None:
        self._metrics = metrics
        self._run = run
        self._span = span
        self._began = monotonic()

    def first_text(self) -> float:
        """Say that the answer's text begins; return the seconds since the run was asked for."""
        waited = monotonic() - self._began
        self._metrics.model_first_token.observe(waited)
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", waited)
        seconds = max(0.0, (utc_now() - self._run.created_at).total_seconds())
        self._metrics.run_first_token.observe(seconds)
        return seconds

    def answered(self, model: str | None, reason: str, usage: Usage | None) -> None:
        """Say how the answer ended."""
        tracing.describe_answer(self._span, model, reason, usage)


class Telemetry:
    """Where the parts of the program say what they did; nothing is traced without `tracing`."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self.metrics = metrics
        self._tracing = tracing

    def of_requests(self) -> dict[str, Any]:
        """Return what FastAPI takes as its `telemetry`."""
        return {
            "metrics": False,  # RequestFigures has them
            "tracing": self._tracing is not None,
            "tracer_provider": self._tracing.provider if self._tracing else None,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        }

    @contextmanager
    def attempt(self, run: Run) -> Generator[None, None, None]:
        """Surround one attempt at a run."""
        self.metrics.attempts.labels("first" if run.attempt == 1 else "again").inc()
        with self._tracing.attempt(run) if self._tracing else nullcontext():
            yield

    @contextmanager
    def model_call(self, run: Run, model: str) -> Generator[ModelCall, None, None]:
        """Surround one request to the model server."""
        began = self._tracing.model_call(run, model) if self._tracing else nullcontext(INVALID_SPAN)
        with began as span:
            try:
                yield ModelCall(self.metrics, run, span)
            except ModelError as error:
                self.metrics.model_errors.labels(error.code).inc()
                tracing.describe_failure(span, error.code)
                raise

    def run_ended(self, run: Run, first_token_seconds: float | None = None) -> None:
        """Say that a run has ended, once for each run, wherever its end is told."""
        code = run.error.code if run.error else ""
        ended_at = run.ended_at or utc_now()
        seconds = max(0.0, (ended_at - run.created_at).total_seconds())
        self.metrics.runs_ended.labels(run.status, code).inc()
        self.metrics.run_duration.labels(run.status).observe(seconds)
        if run.usage is not None:
            self.metrics.tokens.labels("input").inc(run.usage.input_tokens)
            self.metrics.tokens.labels("output").inc(run.usage.output_tokens)
        tracing.describe_end(run)
        log.info(
            "run ended",
            run_id=run.run_id,
            thread_id=run.thread_id,
            attempt=run.attempt,
            status=run.status,
            code=code or None,
            seconds=round(seconds, 3),
            first_token_seconds=_rounded(first_token_seconds),
            input_tokens=run.usage.input_tokens if run.usage else None,
            output_tokens=run.usage.output_tokens if run.usage else None,
        )

    def file_accepted(self, size_bytes: int) -> None:
        """Say that a file was stored."""
        self.metrics.files.inc()
        self.metrics.file_bytes.inc(size_bytes)

    def open_stream(self) -> AbstractContextManager[object]:
        """Surround a stream of events while a client reads it."""
        return self.metrics.open_streams.track_inprogress()

    async def close(self) -> None:
        """Send what is left of the spans."""
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.provider.shutdown)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def open_telemetry(tracing: Tracing | None = None) -> Telemetry:
    """Return what one process tells, itself included."""
    metrics = Metrics()
    metrics.about_process()
    return Telemetry(metrics, tracing)


SILENT = Telemetry(Metrics())
"""Figures that nobody reads: for commands and tests, which have no one to tell."""
