"""Runs: read, watch, wait for, cancel."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

from gpt_assistant_api import db
from gpt_assistant_api.db import messages, runs, threads
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from gpt_assistant_api.domain.events import (
    BEGINNING,
    Event,
    EventId,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    RunEnded,
    RunRestarted,
    RunStarted,
)
from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import Run
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine, LoggedEvent

_FROM_DATABASE = 10**12
"""Numbers of events that are made from the database, above all that a log can give."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run with everything that an answer to an ask shows."""

    run: Run
    thread_title: str
    question: Message
    answer: Message


async def get_run(database: db.Database, actor: Actor, run_id: str) -> Run:
    """Return the run or raise NotFoundError."""
    async with database.read() as tx:
        return await _get(tx, actor, run_id)


async def get_outcome(database: db.Database, actor: Actor, run_id: str) -> Outcome:
    """Return the run as it stands with its thread and both messages, or raise NotFoundError."""
    async with database.read() as tx:
        run = await _get(tx, actor, run_id)
        return await _outcome(tx, run)


async def wait_for_run(database: db.Database, engine: Engine, actor: Actor, run: Run) -> Outcome:
    """Return the outcome once the run has ended, or earlier when nobody can be told of its end.

    That is when this process stops, or the engine's store does not answer: the run goes on later.
    The events of a run tell everything; the database is asked where some did not come.
    """
    started: RunStarted | None = None
    completed: MessageCompleted | None = None
    with suppress(UnavailableError):
        async with aclosing(watch_run(database, engine, run, at_end=True)) as batches:
            async for batch in batches:
                for logged in batch:
                    match logged.event:
                        case RunStarted() as started:
                            completed = None
                        case MessageCompleted() as completed:
                            pass
                        case RunEnded(ended) if started and completed:
                            return Outcome(
                                ended, started.thread_title, started.user_message, completed.message
                            )
    return await get_outcome(database, actor, run.run_id)


async def check_position(engine: Engine, run: Run, after: EventId) -> bool:
    """Tell whether there is or will be anything after this event of the run.

    Raises InvalidError for an attempt that never was.
    """
    if after.attempt > max(run.attempt + 1, 1):
        raise InvalidError("There is no such event.", code="invalid_request")
    if after == BEGINNING or not run.ended:
        return True
    end = None
    with suppress(UnavailableError):  # the database has the end as well
        end = await engine.events.end_of(run.run_id)
    return after < (end or EventId(run.attempt, _FROM_DATABASE))


async def watch_run(
    database: db.Database,
    engine: Engine,
    run: Run,
    after: EventId = BEGINNING,
    *,
    at_end: bool = False,
) -> AsyncGenerator[list[LoggedEvent], None]:
    """Yield the run's events after an id, in batches, to its end. The run is as just looked up.

    With `at_end` they come when it has ended, which spares whoever waits for it being woken before.
    Comes from the event log, and from the database where the log has nothing any more. An empty
    batch says that nothing happened for a while. Ends early when this process stops or the run is
    deleted.
    """
    last = after
    is_first, had_ended = True, False
    try:
        if not run.ended or await engine.events.knows(run.run_id):
            watching = engine.events.watch(run.run_id, after, at_end=at_end)
            async with aclosing(watching) as batches:
                async for batch in batches:
                    yield batch
                    if batch:
                        last = batch[-1].id
                        if isinstance(batch[-1].event, RunEnded):
                            return
                    elif had_ended:
                        break
                    elif not is_first:
                        # The end is stored before it is told: it has until the next silence.
                        with suppress(UnavailableError):  # it can be asked at the one after
                            had_ended = await _has_ended(database, run.run_id)
                    is_first = False
                else:
                    return
    except UnavailableError:
        if not run.ended:
            raise
    tail = await _from_database(database, run.run_id, last)
    if tail:
        yield tail


async def cancel_run(database: db.Database, engine: Engine, actor: Actor, run_id: str) -> Run:
    """Stop a run; what was said so far is kept as an incomplete message.

    Raises NotFoundError, or ConflictError when the run has ended already.
    """
    run = await get_run(database, actor, run_id)
    now = utc_now()
    async with database.write() as tx:
        await threads.lock_thread(tx, run.thread_id, user_id=run.user_id)
        stopped = await runs.cancel_run(tx, run_id, now)
        if stopped is None:
            run = await _get(tx, actor, run_id)
            raise ConflictError(
                "This run has already ended.",
                code="run_ended",
                run_id=run_id,
                run_status=run.status,
            )
        next_run_id = await runs.hand_on_thread(tx, run, now)

    async def take(run: Run) -> tuple[Run, Message] | None:
        async with database.write() as tx:
            return await runs.take_cancelled(tx, run)

    await engine.cancel_run(*stopped, take)
    if next_run_id is not None:
        await engine.submit_run(next_run_id)
    return stopped[0]


async def _get(tx: db.Tx, actor: Actor, run_id: str) -> Run:
    run = await runs.fetch_run(tx, run_id)
    if run is None or not actor.may_act_for(run.user_id):
        raise NotFoundError("There is no such run.", code="run_not_found")
    return run


async def _outcome(tx: db.Tx, run: Run) -> Outcome:
    thread = await threads.fetch_thread(tx, run.thread_id, user_id=run.user_id)
    question = await messages.fetch_message(tx, run.reply_to, thread_id=run.thread_id)
    answer = await messages.fetch_message(tx, run.message_id, thread_id=run.thread_id)
    if thread is None or question is None or answer is None:
        raise NotFoundError("There is no such run.", code="run_not_found")
    question, answer = await messages.with_relations(tx, [question, answer])
    return Outcome(run, thread.title, question, answer)


async def _has_ended(database: db.Database, run_id: str) -> bool:
    async with database.read() as tx:
        run = await runs.fetch_run(tx, run_id)
    return run is None or run.ended


async def _from_database(database: db.Database, run_id: str, after: EventId) -> list[LoggedEvent]:
    """Return the message as it stands and the run's end, for who has seen up to `after`."""
    async with database.read() as tx:
        run = await runs.fetch_run(tx, run_id)
        if run is None:
            return []
        outcome = await _outcome(tx, run)
    answer = outcome.answer
    events: list[Event] = []
    if after == BEGINNING:
        events.append(RunStarted(run, outcome.thread_title, outcome.question))
    elif after.attempt < run.attempt:
        events.append(RunRestarted(run.attempt))
    if events:
        events.append(MessageStarted(answer.message_id))
        if answer.content:
            events.append(MessageDelta(answer.content, 0))
    events += [MessageCompleted(answer), RunEnded(run)]
    first = _FROM_DATABASE + 1 - len(events)
    numbered = [
        LoggedEvent(EventId(max(run.attempt, after.attempt), first + index), event)
        for index, event in enumerate(events)
    ]
    return [logged for logged in numbered if logged.id > after]
