"""Ask and regenerate: answered whole, as a stream, or later."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import Request, Response
from structlog.contextvars import bind_contextvars

from gpt_assistant_api.api.rest.bodies import AskIn, Format, RegenerateIn, read_body, request_body
from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.context import responses, router
from gpt_assistant_api.api.rest.events import EVENT_STREAM, event_stream
from gpt_assistant_api.api.rest.links import FileLinks
from gpt_assistant_api.api.rest.problems import problem_of_ending
from gpt_assistant_api.api.rest.rates import count_user
from gpt_assistant_api.api.rest.schemas import AskOut, MessageOut, RunOut
from gpt_assistant_api.api.rest.writing import respond
from gpt_assistant_api.domain.asks import MAX_FILES, Ask, Asked, Regenerate
from gpt_assistant_api.domain.errors import NotFoundError, UnavailableError
from gpt_assistant_api.domain.events import BEGINNING
from gpt_assistant_api.domain.files import File
from gpt_assistant_api.domain.ids import is_id
from gpt_assistant_api.domain.text import MAX_PROMPT_CHARACTERS, checked_text, invalid_field
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.markup import render_async
from gpt_assistant_api.runtime import Runtime
from gpt_assistant_api.services import asks, files, runs
from gpt_assistant_api.services.files import Upload

routes = router("Conversations")

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

_HEADERS = {
    "Idempotency-Key": {
        "description": "1..255 visible ASCII characters. The same key and body give the same run, "
        "for two days; the same key with another body is refused.",
        "schema": {"type": "string", "pattern": f"^{_IDEMPOTENCY_KEY.pattern}$"},
    },
    "Prefer": {
        "description": "`respond-async`: 202 with the run, at once.",
        "schema": {"type": "string"},
    },
}
_PARAMETERS = [
    {"name": name, "in": "header", "required": False, **described}
    for name, described in _HEADERS.items()
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, or the stream of its events.",
        "model": AskOut,
        "content": EVENT_STREAM,
    },
    202: {"description": "The run is stored and goes on.", "model": AskOut},
    **responses(400, 404, 409, 413, 415, 502, 504),
}


@routes.post(
    "/ask",
    operation_id="ask",
    summary="Ask",
    response_model=None,
    responses=_ANSWERS,
    openapi_extra={"parameters": _PARAMETERS, **request_body(AskIn, files=True)},
)
async def ask(call: Call) -> Response:
    """Add a user message to a thread, or to a new one, and have it answered.

    The run belongs to the server: a client that goes away loses nothing, and finds the answer in
    the thread or by `/runs/{run_id}/events`.
    """
    runtime, actor = call.runtime, call.actor
    with await read_body(call, files=True) as read:
        body = read.of(AskIn)
        user_id = actor.act_for(body.user_id)
        await count_user(call, actor, user_id)
        wanted = Ask(
            user_id=user_id,
            prompt=_prompt(body, runtime, has_file=bool(read.uploads)),
            thread_id=_thread_id(body.thread_id),
            file_ids=_file_ids(body, len(read.uploads)),
            reply_to=body.reply_to,
            if_busy=body.if_busy,
            idempotency_key=_key(call),
            fingerprint=f"ask {await read.fingerprint()}",
        )
        with _held(call, user_id, stream=body.stream) as held:
            asked = await asks.find_asked(runtime.database, actor, wanted)
            if asked is None:
                async with _stored(runtime, actor, user_id, read.uploads) as stored:
                    with_files = _with_files(wanted, stored)
                    asked = await asks.ask(
                        runtime.database, runtime.engine, runtime.run_limits, actor, with_files
                    )
                    stored[:] = [file for file in stored if file not in asked.question.files]
            return await _answer(call, asked, format_=body.format, stream=body.stream, held=held)


@routes.post(
    "/regenerate",
    operation_id="regenerate",
    summary="Answer again",
    response_model=None,
    responses=_ANSWERS,
    openapi_extra={"parameters": _PARAMETERS, **request_body(RegenerateIn)},
)
async def regenerate(call: Call) -> Response:
    """Answer a user message again, or an edited version of it.

    Every version is kept: the new answer is another child of the same question, an edited prompt
    another child of the same parent.
    """
    runtime, actor = call.runtime, call.actor
    read = await read_body(call)
    body = read.of(RegenerateIn)
    user_id = actor.act_for(body.user_id)
    await count_user(call, actor, user_id)
    new_prompt = body.new_prompt
    if new_prompt is not None:
        checked_text(new_prompt, field="new_prompt", limit=MAX_PROMPT_CHARACTERS)
        if not new_prompt.strip():
            raise invalid_field("new_prompt", "is empty")
    thread_id = _thread_id(body.thread_id)
    assert thread_id is not None, "the shape requires it"
    wanted = Regenerate(
        user_id=user_id,
        thread_id=thread_id,
        message_id=body.message_id,
        new_prompt=new_prompt,
        if_busy=body.if_busy,
        idempotency_key=_key(call),
        fingerprint=f"regenerate {await read.fingerprint()}",
    )
    with _held(call, user_id, stream=body.stream) as held:
        asked = await asks.regenerate(
            runtime.database, runtime.engine, runtime.run_limits, actor, wanted
        )
        return await _answer(call, asked, format_=body.format, stream=body.stream, held=held)


def _wants_stream(request: Request, stream: bool | None) -> bool:
    if stream is not None:
        return stream
    return "text/event-stream" in request.headers.get("accept", "")


def _held(call: Call, user_id: str, *, stream: bool | None) -> ExitStack:
    """Return what is held for the answer: a place for a stream, taken before anything is stored."""
    held = ExitStack()
    if _wants_stream(call, stream):
        held.enter_context(call.runtime.streams.one_more(user_id, call.actor.key_id))
    return held


async def _answer(
    call: Call,
    asked: Asked,
    *,
    format_: Format,
    stream: bool | None,
    held: ExitStack,
) -> Response:
    """Answer in the way that the caller asked for: as a stream, later, or whole."""
    runtime = call.runtime
    run_id = asked.run.run_id
    bind_contextvars(run_id=run_id, thread_id=asked.run.thread_id)
    html = format_ == "html"
    if _wants_stream(call, stream):
        try:
            return await event_stream(
                runs.watch_run(runtime.database, runtime.engine, asked.run),
                call.links, html=html, after=BEGINNING,
                open_stream=runtime.telemetry.open_stream, held=held, recheck=call.check_access,
            )  # fmt: skip
        except UnavailableError as refusal:
            refusal.details |= {"run_id": run_id, "thread_id": asked.run.thread_id}
            raise
    if "respond-async" in call.headers.get("prefer", "").lower():
        outcome = await runs.get_outcome(runtime.database, call.actor, run_id)
        return await _outcome(outcome, call.links, html=html, status=202, applied=True)
    outcome = await runs.wait_for_run(runtime.database, runtime.engine, call.actor, asked.run)
    if outcome.run.status == "failed" and outcome.run.error is not None:
        return problem_of_ending(
            call.scope,
            outcome.run.error,
            run_id=run_id,
            thread_id=outcome.run.thread_id,
            message_id=outcome.question.message_id,
        )
    status = 200 if outcome.run.ended else 202
    return await _outcome(outcome, call.links, html=html, status=status, applied=False)


async def _outcome(
    outcome: runs.Outcome, links: FileLinks, *, html: bool, status: int, applied: bool
) -> Response:
    rendered = await render_async(outcome.answer.content) if html else None
    shape = AskOut(
        thread_id=outcome.run.thread_id,
        thread_title=outcome.thread_title,
        run=RunOut.of(outcome.run),
        user_message=MessageOut.of(outcome.question, links),
        message=MessageOut.of(outcome.answer, links, rendered),
    )
    headers = {}
    if status == 202:
        headers["Location"] = f"/runs/{outcome.run.run_id}"
    if applied:
        headers["Preference-Applied"] = "respond-async"
    return respond(shape, status, headers)


@asynccontextmanager
async def _stored(
    runtime: Runtime, actor: Actor, user_id: str, uploads: Sequence[Upload]
) -> AsyncGenerator[list[File], None]:
    """Store what was sent along, and take back what the block leaves over or is refused with."""
    stored: list[File] = []
    try:
        for upload in uploads:
            with upload.file:  # the answer may take minutes
                file = await files.upload_file(
                    runtime.database,
                    runtime.blobs,
                    actor,
                    user_id,
                    upload,
                    runtime.telemetry,
                    storage_bytes=runtime.run_limits.storage_bytes,
                )
            stored.append(file)
        yield stored
    finally:
        if stored:
            await files.withdraw_files(runtime.database, runtime.blobs, stored)


def _with_files(wanted: Ask, stored: Sequence[File]) -> Ask:
    return replace(wanted, file_ids=wanted.file_ids + tuple(file.file_id for file in stored))


def _prompt(body: AskIn, runtime: Runtime, *, has_file: bool) -> str:
    prompt = checked_text(body.prompt or "", field="prompt", limit=MAX_PROMPT_CHARACTERS)
    if prompt.strip():
        return prompt
    if not (has_file or body.file_ids or body.file_id):
        raise invalid_field("prompt", "is empty; a prompt or a file is needed")
    return runtime.default_image_prompt


def _file_ids(body: AskIn, uploads: int) -> tuple[str, ...]:
    named = [*body.file_ids, *([body.file_id] if body.file_id else [])]
    if len(named) + uploads > MAX_FILES:
        raise invalid_field("file_ids", f"has more than {MAX_FILES} files")
    if len(set(named)) < len(named):
        raise invalid_field("file_ids", "names a file twice")
    if not all(is_id("file", file_id) for file_id in named):
        raise NotFoundError("There is no such file.", code="file_not_found")
    return tuple(named)


def _thread_id(thread_id: str | None) -> str | None:
    if thread_id is not None and not is_id("thread", thread_id):
        raise NotFoundError("There is no such thread.", code="thread_not_found")
    return thread_id


def _key(call: Call) -> str | None:
    value = call.headers.get("idempotency-key")
    if value is not None and not _IDEMPOTENCY_KEY.fullmatch(value):
        raise invalid_field("Idempotency-Key", "must be 1..255 visible ASCII characters")
    return value
