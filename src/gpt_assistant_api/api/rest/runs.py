"""Runs: read, watch, cancel."""

from contextlib import ExitStack
from typing import Annotated

from fastapi import Header, Query, Response
from fastapi.responses import StreamingResponse

from gpt_assistant_api.api.rest.bodies import Format
from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.context import Absent, RunId, responses, router
from gpt_assistant_api.api.rest.events import EVENT_STREAM, event_stream, start_of
from gpt_assistant_api.api.rest.schemas import RunOut
from gpt_assistant_api.domain.events import BEGINNING, EventId
from gpt_assistant_api.domain.text import invalid_field
from gpt_assistant_api.services import runs

routes = router("Runs")


@routes.get(
    "/runs/{run_id}", operation_id="get_run", summary="Read a run", responses=responses(404)
)
async def get_run(call: Call, run_id: RunId) -> RunOut:
    """Return the run as it stands."""
    return RunOut.of(await runs.get_run(call.runtime.database, call.actor, run_id))


@routes.get(
    "/runs/{run_id}/events",
    operation_id="watch_run",
    summary="Watch a run",
    response_class=StreamingResponse,
    responses=responses(
        404,
        ok={
            200: {
                "description": "Server-sent events, from the first or from `Last-Event-ID`.",
                "content": EVENT_STREAM,
            },
            204: {"description": "The run has ended and there is nothing after `Last-Event-ID`."},
        },
    ),
)
async def watch_run(
    call: Call,
    run_id: RunId,
    format: Annotated[  # noqa: A002 - the contract's name
        Format, Query(description="`html`: `message.block` events in place of `message.delta`.")
    ] = "markdown",
    last_event_id: Annotated[
        str | Absent,
        Header(
            description="The id of the last event that was seen.",
            examples=["1-3"],
            json_schema_extra={"pattern": "^([0-9]{1,15}-[0-9]{1,15})?$"},
        ),
    ] = None,
) -> Response:
    """Send the run's events as they happen, with those that were missed first.

    `run.started`, `message.started`, `message.delta` {text, offset}, `message.completed`, then
    `run.completed`, `run.failed` or `run.cancelled`, the last. `run.restarted` says that the run
    begins again and that the text so far is void. Events are kept for an hour after the end; later
    the same URL answers from the database.
    """
    after = _position(last_event_id)
    runtime, actor = call.runtime, call.actor
    run = await runs.get_run(runtime.database, actor, run_id)
    if not await runs.check_position(runtime.engine, run, after):
        return Response(status_code=204)
    html = format == "html"
    with ExitStack() as held:
        held.enter_context(runtime.streams.one_more(run.user_id, actor.key_id))
        start = start_of(after, html=html)
        return await event_stream(
            runs.watch_run(runtime.database, runtime.engine, run, start), call.links,
            html=html, after=after, open_stream=runtime.telemetry.open_stream, held=held,
            recheck=call.check_access,
        )  # fmt: skip


@routes.post(
    "/runs/{run_id}/cancel",
    operation_id="cancel_run",
    summary="Stop a run",
    responses=responses(404, 409),
)
async def cancel_run(call: Call, run_id: RunId) -> RunOut:
    """Stop the run; what was said so far is kept as an incomplete message."""
    runtime = call.runtime
    run = await runs.cancel_run(runtime.database, runtime.engine, call.actor, run_id)
    return RunOut.of(run)


def _position(last_event_id: str | None) -> EventId:
    if not last_event_id:
        return BEGINNING
    position = EventId.parse(last_event_id)
    if position is None:
        raise invalid_field("Last-Event-ID", "is not an id that this server gives")
    return position
