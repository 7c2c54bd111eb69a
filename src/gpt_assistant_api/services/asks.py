"""Ask and regenerate: one transaction stores a message and a queued run, which is handed over."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gpt_assistant_api import db
from gpt_assistant_api.db import files, idempotency, keys, messages, runs, threads, usage, users
from gpt_assistant_api.domain.asks import Ask, Asked, Regenerate, RunLimits
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    RateLimitedError,
)
from gpt_assistant_api.domain.files import File, storage_exceeded
from gpt_assistant_api.domain.history import estimate_tokens
from gpt_assistant_api.domain.ids import new_id
from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import IfBusy, Run
from gpt_assistant_api.domain.threads import Thread, title_from
from gpt_assistant_api.domain.usage import seconds_to_next_day
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.telemetry.tracing import traceparent


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a transaction has done, and what is to be done after it."""

    asked: Asked
    active: bool
    stopped: Sequence[tuple[Run, Message]]


async def ask(
    database: db.Database, engine: Engine, limits: RunLimits, actor: Actor, request: Ask
) -> Asked:
    """Add a user message to a thread and queue its answer; a repeated request gives the same run.

    Raises NotFoundError for a thread, file or message that is not this user's, ConflictError while
    the thread has a run and `if_busy` is "reject", RateLimitedError over a limit, TooLargeError for
    files that the user has no room for.
    """
    user_id = actor.act_for(request.user_id)

    async def store(tx: db.Tx) -> _Stored:
        thread = await _thread_for(tx, user_id, request)
        busy, stopped = await _make_room(tx, thread, request.if_busy)
        attached = await _claim_files(tx, user_id, request.file_ids, limits.storage_bytes)
        if request.reply_to is not None:
            await _message_in(tx, thread, request.reply_to)
        # Nothing follows the head yet, so this is the first version.
        question = await _append_question(
            tx, thread, request.prompt, attached, parent_id=thread.head_id,
            reply_to=request.reply_to,
        )  # fmt: skip
        asked = await _queue_answer(tx, thread, question, busy=busy, key_id=actor.key_id)
        return _Stored(asked, not busy, stopped)

    return await _once(database, engine, limits, actor, request, store)


async def regenerate(
    database: db.Database, engine: Engine, limits: RunLimits, actor: Actor, request: Regenerate
) -> Asked:
    """Answer a user message again, or an edited version of it; every version is kept.

    Raises what `ask` raises, and InvalidError where the thread has nothing to answer.
    """
    user_id = actor.act_for(request.user_id)

    async def store(tx: db.Tx) -> _Stored:
        thread = await _locked(tx, user_id, request.thread_id)
        question = await _question(tx, thread, request.message_id)
        busy, stopped = await _make_room(tx, thread, request.if_busy)
        if request.new_prompt is not None:
            [original] = await messages.with_relations(tx, [question])
            question = await _append_question(
                tx, thread, request.new_prompt, original.files, parent_id=original.parent_id,
                reply_to=original.reply_to,
            )  # fmt: skip
        [question] = await messages.with_relations(tx, [question])
        asked = await _queue_answer(tx, thread, question, busy=busy, key_id=actor.key_id)
        return _Stored(asked, not busy, stopped)

    return await _once(database, engine, limits, actor, request, store)


async def find_asked(
    database: db.Database, actor: Actor, request: Ask | Regenerate
) -> Asked | None:
    """Return what came of a request that was made before under the same idempotency key."""
    if request.idempotency_key is None:
        return None
    async with database.read() as tx:
        return await _known(tx, actor.act_for(request.user_id), request)


async def _once(
    database: db.Database,
    engine: Engine,
    limits: RunLimits,
    actor: Actor,
    request: Ask | Regenerate,
    store: Callable[[db.Tx], Awaitable[_Stored]],
) -> Asked:
    """Store a request in one transaction and hand its run over, unless that was done before."""
    user_id = actor.act_for(request.user_id)
    async with database.write() as tx:
        if request.idempotency_key is not None:
            await idempotency.lock_key(tx, user_id, request.idempotency_key)
        if known := await _known(tx, user_id, request):
            return known
        await _check_limits_of_user(tx, user_id, limits)
        if actor.key_id is not None:
            await _check_limits_of_key(tx, actor.key_id, limits)
        stored = await store(tx)
        await _remember(tx, user_id, request, stored.asked)
    return await _hand_over(database, engine, stored)


async def _known(tx: db.Tx, user_id: str, request: Ask | Regenerate) -> Asked | None:
    if request.idempotency_key is None:
        return None
    known = await idempotency.fetch_request(tx, user_id, request.idempotency_key)
    if known is None:
        return None
    if known.fingerprint != request.fingerprint:
        raise InvalidError(
            "This Idempotency-Key was used for another request.", code="idempotency_key_reused"
        )
    gone = NotFoundError("What was asked under this key is gone.", code="run_not_found")
    run = await runs.fetch_run(tx, known.run_id)
    if run is None:
        raise gone
    thread = await threads.fetch_thread(tx, run.thread_id, user_id=user_id)
    question = await messages.fetch_message(tx, run.reply_to, thread_id=run.thread_id)
    if thread is None or question is None:
        raise gone
    [question] = await messages.with_relations(tx, [question])
    return Asked(run, thread, question)


async def _remember(tx: db.Tx, user_id: str, request: Ask | Regenerate, asked: Asked) -> None:
    if request.idempotency_key is not None:
        known = idempotency.KnownRequest(request.fingerprint, asked.run.run_id)
        await idempotency.insert_request(
            tx, user_id, request.idempotency_key, known, asked.run.created_at
        )


async def _check_limits_of_user(tx: db.Tx, user_id: str, limits: RunLimits) -> None:
    if limits.concurrent_runs or limits.storage_bytes:
        # So that nobody counts at the same time; before the thread, which others lock alone.
        await users.insert_user(tx, user_id, utc_now())
    if limits.concurrent_runs:
        unfinished = await runs.fetch_unfinished_of_user(tx, user_id)
        _check_runs(len(unfinished), limits.concurrent_runs, "user")
    if limits.tokens_per_day:
        now = utc_now()
        used = await usage.count_tokens(tx, user_id, now.date())
        _check_tokens(used, limits.tokens_per_day, "user", now)


async def _check_limits_of_key(tx: db.Tx, key_id: str, limits: RunLimits) -> None:
    if limits.concurrent_runs_per_key:
        await keys.lock_key(tx, key_id)
        unfinished = await runs.count_unfinished_of_key(tx, key_id)
        _check_runs(unfinished, limits.concurrent_runs_per_key, "key")
    if limits.tokens_per_day_per_key:
        now = utc_now()
        used = await usage.count_key_tokens(tx, key_id, now.date())
        _check_tokens(used, limits.tokens_per_day_per_key, "key", now)


def _check_runs(unfinished: int, limit: int, whose: str) -> None:
    if unfinished >= limit:
        raise RateLimitedError(
            f"{limit} runs of this {whose} are unfinished already.",
            code="too_many_runs",
            retry_after_seconds=5,
        )


def _check_tokens(used: int, limit: int, whose: str, now: datetime) -> None:
    if used >= limit:
        raise RateLimitedError(
            f"This {whose}'s tokens of today are used up; the next day begins at midnight UTC.",
            code="too_many_tokens",
            retry_after_seconds=seconds_to_next_day(now),
        )


async def _thread_for(tx: db.Tx, user_id: str, request: Ask) -> Thread:
    if request.thread_id is not None:
        return await _locked(tx, user_id, request.thread_id)
    now = utc_now()
    thread = Thread(new_id("thread"), user_id, title_from(request.prompt), None, None, now, now)
    await users.insert_user(tx, user_id, now)
    await threads.insert_thread(tx, thread)
    return thread


async def _locked(tx: db.Tx, user_id: str, thread_id: str) -> Thread:
    thread = await threads.lock_thread(tx, thread_id, user_id=user_id)
    if thread is None:
        raise NotFoundError("There is no such thread.", code="thread_not_found")
    return thread


async def _make_room(
    tx: db.Tx, thread: Thread, if_busy: IfBusy
) -> tuple[bool, list[tuple[Run, Message]]]:
    """Return whether the new run has to wait, and the runs that were stopped for it."""
    if thread.active_run_id is None:
        return False, []
    if if_busy == "enqueue":
        return True, []
    if if_busy == "reject":
        raise ConflictError(
            "The thread has an active run.", code="thread_busy", run_id=thread.active_run_id
        )
    now = utc_now()
    unfinished = await runs.fetch_unfinished_of_thread(tx, thread.thread_id, user_id=thread.user_id)
    ended = [await runs.cancel_run(tx, run.run_id, now) for run in unfinished]
    return False, [pair for pair in ended if pair is not None]


async def _claim_files(
    tx: db.Tx, user_id: str, file_ids: Sequence[str], storage_bytes: int
) -> list[File]:
    is_limited = bool(storage_bytes and file_ids)
    before = await files.count_bytes(tx, user_id) if is_limited else 0
    claimed = []
    for file_id in file_ids:
        file = await files.claim_file(tx, file_id, user_id=user_id)
        if file is None:
            raise NotFoundError("There is no such file.", code="file_not_found")
        claimed.append(file)
    # What the user has already may be shown again, also when it is over a limit that came later.
    if is_limited and await files.count_bytes(tx, user_id) > max(before, storage_bytes):
        raise storage_exceeded(storage_bytes)
    return claimed


async def _message_in(tx: db.Tx, thread: Thread, message_id: int) -> Message:
    message = await messages.fetch_message(tx, message_id, thread_id=thread.thread_id)
    if message is None:
        raise NotFoundError("There is no such message in this thread.", code="message_not_found")
    return message


async def _question(tx: db.Tx, thread: Thread, message_id: int | None) -> Message:
    """Return the user message to answer again; naming an answer means the question before it."""
    question = None
    if message_id is not None:
        message = await _message_in(tx, thread, message_id)
        question = message if message.role == "user" else None
        if question is None and message.parent_id is not None:
            question = await messages.fetch_message(
                tx, message.parent_id, thread_id=thread.thread_id
            )
    elif thread.head_id is not None:
        question = await messages.fetch_last_question(tx, thread.thread_id, head_id=thread.head_id)
    if question is None:
        raise InvalidError("There is no user message to answer.", code="message_not_answerable")
    return question


async def _append_question(
    tx: db.Tx,
    thread: Thread,
    prompt: str,
    attached: Sequence[File],
    *,
    parent_id: int | None,
    reply_to: int | None,
) -> Message:
    parent = (
        await messages.fetch_message(tx, parent_id, thread_id=thread.thread_id)
        if parent_id is not None
        else None
    )
    question = await messages.insert_message(
        tx,
        thread_id=thread.thread_id,
        user_id=thread.user_id,
        role="user",
        status="completed",
        content=prompt,
        path_tokens=(parent.path_tokens if parent else 0) + estimate_tokens(prompt, len(attached)),
        message_time=utc_now(),
        image_id=attached[0].file_id if attached else None,
        reply_to=reply_to,
        parent_id=parent_id,
    )
    await files.attach_files(tx, question.message_id, [file.file_id for file in attached])
    return replace(question, files=tuple(attached)) if attached else question


async def _queue_answer(
    tx: db.Tx, thread: Thread, question: Message, *, busy: bool, key_id: str | None
) -> Asked:
    now = utc_now()
    run_id = new_id("run")
    answer = await messages.insert_message(
        tx,
        thread_id=thread.thread_id,
        user_id=thread.user_id,
        role="assistant",
        status="in_progress",
        content="",
        path_tokens=question.path_tokens,
        message_time=now,
        reply_to=question.message_id,
        parent_id=question.message_id,
        run_id=run_id,
    )
    run = Run(
        run_id, thread.thread_id, thread.user_id, answer.message_id, question.message_id,
        "queued", 0, None, None, None, now, None, None, traceparent(),
    )  # fmt: skip
    await runs.insert_run(tx, run, key_id=key_id)
    thread = replace(
        thread,
        head_id=answer.message_id,
        active_run_id=thread.active_run_id if busy else run_id,
        updated_at=now,
    )
    await threads.update_thread(
        tx,
        thread.thread_id,
        title=thread.title,
        head_id=thread.head_id,
        active_run_id=thread.active_run_id,
        updated_at=now,
    )
    return Asked(run, thread, question)


async def _hand_over(database: db.Database, engine: Engine, stored: _Stored) -> Asked:
    """Give the stored run to the engine. What is stored is begun sooner or later, come what may."""

    async def take(run: Run) -> tuple[Run, Message] | None:
        async with database.write() as tx:
            return await runs.take_cancelled(tx, run)

    for run, answer in stored.stopped:
        await engine.cancel_run(run, answer, take)
    if stored.active:
        await engine.submit_run(stored.asked.run.run_id, stored.asked)
    return stored.asked
