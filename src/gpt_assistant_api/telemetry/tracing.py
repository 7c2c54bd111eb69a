"""Spans of runs and model calls, named after OpenTelemetry's conventions, and where they go.

A run carries the `traceparent` of the request that asked for it, in the database: whoever executes
it, in whichever process and after whatever crash, goes on in the same trace. No span has the text
of a message, the id of a user, or the address of a request, which holds both.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Span, SpanKind, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.domain.runs import Run, Usage

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_PRIVATE: Final = {"url.path", "url.query", "url.full"}
_NOT_TRACED: Final = {"/healthz", "/readyz", "/metrics"}
_EXPORT_SECONDS: Final = 5.0


def traceparent() -> str | None:
    """Return the name of the current span for a run to carry; None where nothing is traced."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def describe_end(run: Run) -> None:
    """Write on the current span, if there is one, how a run ended."""
    span = trace.get_current_span()
    if not span.is_recording():
        return
    span.set_attribute("gpt_assistant.run.status", run.status)
    if run.error is not None:
        span.set_attribute("error.type", run.error.code)
    if run.status == "failed":
        span.set_status(StatusCode.ERROR)


def describe_failure(span: Span, error_type: str) -> None:
    """Write on a span that it failed, and by what kind of error."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def describe_answer(span: Span, model: str | None, reason: str, usage: Usage | None) -> None:
    """Write on the span of a model call how the answer ended."""
    span.set_attribute("gen_ai.response.finish_reasons", [reason])
    if model:
        span.set_attribute("gen_ai.response.model", model)
    if usage is not None:
        span.set_attribute("gen_ai.usage.input_tokens", usage.input_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", usage.output_tokens)


class Tracing:
    """Begins spans. `model_server` are the attributes that name it."""

    def __init__(self, provider: TracerProvider, model_server: dict[str, str | int]) -> None:
        provider.sampler = _Discreet(provider.sampler)
        self.provider = provider
        self._tracer = provider.get_tracer("gpt_assistant_api", version("gpt-assistant-api"))
        self._model_server = model_server

    def attempt(self, run: Run) -> AbstractContextManager[Span]:
        """Begin the span of one attempt at a run, in the trace of the request that asked for it."""
        return self._begin(
            "run",
            SpanKind.CONSUMER,
            {
                "gpt_assistant.run.id": run.run_id,
                "gpt_assistant.run.attempt": run.attempt,
                "gen_ai.conversation.id": run.thread_id,
            },
            _PROPAGATOR.extract({"traceparent": run.traceparent or ""}, Context()),
        )

    def model_call(self, run: Run, model: str) -> AbstractContextManager[Span]:
        """Begin the span of one request to the model server."""
        return self._begin(
            f"chat {model}",
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": model,
                "gen_ai.request.stream": True,
                "gen_ai.conversation.id": run.thread_id,
                **self._model_server,
            },
        )

    def _begin(
        self,
        name: str,
        kind: SpanKind,
        attributes: dict[str, Any],
        context: Context | None = None,
    ) -> AbstractContextManager[Span]:
        # What an exception says may quote a message, so its kind alone is written down, by hand.
        return self._tracer.start_as_current_span(
            name, context, kind, attributes, record_exception=False, set_status_on_exception=False
        )


class _Discreet(Sampler):
    """Takes the addresses of requests away before a span has them, and leaves probes out."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        attributes = dict(attributes or {})
        if attributes.get("url.path") in _NOT_TRACED:
            return SamplingResult(Decision.DROP)
        kept = {key: value for key, value in attributes.items() if key not in _PRIVATE}
        return self._sampler.should_sample(
            parent_context, trace_id, name, kind, kept, links, trace_state
        )

    def get_description(self) -> str:
        return f"without addresses: {self._sampler.get_description()}"


def own_resource() -> Resource:
    """Return who speaks, as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, or by default."""
    ours = {SERVICE_NAME: "gpt-assistant-api", SERVICE_VERSION: version("gpt-assistant-api")}
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def describe_model_server(api: str, base_url: str | None) -> dict[str, str | int]:
    """Return the attributes that name a model server; a compatible one speaks as OpenAI's does."""
    if api == "offline":
        return {"gen_ai.provider.name": "offline"}
    attributes: dict[str, str | int] = {"gen_ai.provider.name": "openai"}
    try:
        parts = urlsplit(base_url or "https://api.openai.com")
        port = parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:  # whoever connects to it says what is wrong
        return attributes
    if parts.hostname:
        attributes |= {"server.address": parts.hostname, "server.port": port}
    return attributes


def open_tracing(endpoint: str, model_server: dict[str, str | int]) -> Tracing:
    """Return spans that go to `endpoint` by OTLP over HTTP. Raises ConfigurationError."""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: give an address such as http://localhost:4318"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
    except ImportError:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs: pip install 'gpt-assistant-api[otlp]'."
        ) from None
    provider = TracerProvider(resource=own_resource(), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, model_server)
