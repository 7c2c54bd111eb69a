"""A port of its own for the figures, without a key: for whoever watches the machines."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import start_wsgi_server

from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serving_metrics(
    metrics: Metrics, host: str, ports: Sequence[int]
) -> AsyncGenerator[None, None]:
    """Serve the figures on the first of these ports that is free; on none where there is none.

    Several processes of one server are given the same ports, and so each finds its own. Raises
    ConfigurationError when all of them are taken.
    """
    if not ports:
        yield
        return
    server = await asyncio.to_thread(_listen, metrics, host, ports)
    log.info("metrics are served", port=server.server_port)
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def _listen(metrics: Metrics, host: str, ports: Sequence[int]) -> WSGIServer:
    reason: str | None = None
    for port in ports:
        try:
            server, _ = start_wsgi_server(port, host.strip("[]"), metrics.registry)
        except OSError as error:
            reason = error.strerror
        else:
            return server
    asked = f"port {ports[0]}" if len(ports) == 1 else f"a port from {ports[0]} to {ports[-1]}"
    raise ConfigurationError(f"HOST and METRICS_PORT: cannot listen on {asked} there ({reason}).")
