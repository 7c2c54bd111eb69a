"""The figures of requests, by the names of OpenTelemetry's conventions.

The framework would record them as well, through OpenTelemetry's library: that took as long as all
the queries of a page.
"""

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, Histogram

_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25),
    *(0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)  # as the conventions advise
_METHODS: Final = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)


class RequestFigures:
    """How many requests there are, and how long those took that have ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._active = Gauge(
            "http_server_active_requests",
            "Number of active HTTP server requests.",
            ["http_request_method", "url_scheme"],
            registry=registry,
        )
        self._duration = Histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
            [
                *("http_request_method", "url_scheme", "network_protocol_version"),
                *("http_route", "http_response_status_code", "error_type"),
            ],
            buckets=_SECONDS,
            registry=registry,
        )

    def began(self, scope: Mapping[str, Any]) -> None:
        """Say that a request came."""
        self._active.labels(_method(scope), scope["scheme"]).inc()

    def ended(
        self,
        scope: Mapping[str, Any],
        seconds: float,
        status: int | None,
        crash: Exception | None,
        *,
        complete: bool,
    ) -> None:
        """Say that a request has ended, and whether its answer was sent to its end."""
        method, scheme = _method(scope), scope["scheme"]
        self._active.labels(method, scheme).dec()
        self._duration.labels(
            method,
            scheme,
            scope["http_version"],
            getattr(scope.get("route"), "path_format", ""),
            status or "",
            _error_type(status, crash, complete=complete),
        ).observe(seconds)


def _method(scope: Mapping[str, Any]) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "_OTHER"


def _error_type(status: int | None, crash: Exception | None, *, complete: bool) -> str:
    if crash is not None:
        kind = type(crash)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        return f"{module}{kind.__qualname__}"
    if not complete:
        return "ConnectionError"  # the client went away
    return str(status) if status is not None and status >= 500 else ""
