"""Health, readiness and metrics."""

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version

from fastapi import Response

from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.context import responses, router
from gpt_assistant_api.api.rest.schemas import HealthOut, ReadinessOut
from gpt_assistant_api.domain.errors import Refusal

routes = router("Operations")

_CHECK_SECONDS = 4.0
_VERSION = version("gpt-assistant-api")  # read from the disk, so once


@routes.get("/healthz", operation_id="get_health", summary="The process lives")
async def get_health(call: Call) -> HealthOut:
    """Say that the process answers. Nothing behind it is asked."""
    return HealthOut(
        status="ok",
        version=_VERSION,
        open_mode=call.runtime.open_mode,
        model_api=call.runtime.model_api,
    )


@routes.get(
    "/readyz",
    operation_id="get_readiness",
    summary="The service can do its work",
    responses={503: {"description": "A part does not answer.", "model": ReadinessOut}},
)
async def get_readiness(call: Call, response: Response) -> ReadinessOut:
    """Say whether the database and the files can be written, and whether the run engine answers.

    Without its store the engine goes on alone, so that alone does not make the service unready.
    """
    runtime = call.runtime
    checks = dict(
        zip(
            ("database", "files", "engine"),
            await asyncio.gather(
                _check(runtime.database.check()),
                _check(runtime.blobs.check()),
                _check(runtime.engine.events.check()),
            ),
            strict=True,
        )
    )
    if runtime.engine.stopping:
        checks["process"] = "stopping"
    ready = all(state == "ok" for part, state in checks.items() if part != "engine")
    response.status_code = 200 if ready else 503
    return ReadinessOut(status="ready" if ready else "not_ready", checks=checks)


@routes.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses=responses(ok={200: {"content": {"text/plain": {}}}}),
)
async def get_metrics(call: Call) -> Response:
    """Give the process's metrics in the text format of Prometheus. Needs a key, or open mode."""
    metrics = call.runtime.telemetry.metrics
    return Response(await metrics.render(), media_type=metrics.content_type)


async def _check(attempt: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await attempt
    except Refusal as refusal:
        return refusal.code
    except TimeoutError:
        return "timeout"
    return "ok"
