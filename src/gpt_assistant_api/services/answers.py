"""Answer a run: claim it, have the model speak, tell the watchers, store the end."""

import asyncio
import hashlib
import time
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gpt_assistant_api import db, images
from gpt_assistant_api.blobs import Blobs, original_key
from gpt_assistant_api.db import messages, runs, threads
from gpt_assistant_api.domain.asks import Asked
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import (
    ContextTooLongError,
    ModelError,
    ModelRateLimitedError,
    NotFoundError,
    Refusal,
    UnavailableError,
)
from gpt_assistant_api.domain.events import (
    Event,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    RunEnded,
    RunRestarted,
    RunStarted,
)
from gpt_assistant_api.domain.files import File
from gpt_assistant_api.domain.history import (
    Picture,
    Turn,
    alternating,
    cut_before,
    estimate_tokens,
    quoted,
    shorter,
)
from gpt_assistant_api.domain.messages import Message, MessageStatus
from gpt_assistant_api.domain.runs import EndStatus, Run, RunError, Usage
from gpt_assistant_api.domain.threads import Thread
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.llm import Delta, End, GenerationSettings, ModelServer
from gpt_assistant_api.telemetry import SILENT, Telemetry

_SAVE_SECONDS = 2.0
_END_TRIES = 30
_END_PAUSE_SECONDS = 1.0
_STOPPED_SHORT = {
    "output_limit": RunError("output_limit", "The answer reached the model's output limit."),
    "content_filter": RunError("content_filter", "The model server's filter stopped the answer."),
    "refusal": RunError("model_refusal", "The model declined to answer."),
}
_EMPTY = RunError("model_empty_answer", "The model ended without saying anything.")
_CRASHED = RunError("internal_error", "The server failed while answering.")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answering:
    """What answering takes. `history_tokens` bounds what the model is shown of a thread."""

    database: db.Database
    blobs: Blobs
    engine: Engine
    model_server: ModelServer
    model: str
    instructions: str
    history_tokens: int
    worker_id: str
    telemetry: Telemetry = SILENT


@dataclass(frozen=True, slots=True)
class _Ending:
    status: EndStatus
    model: str | None = None
    usage: Usage | None = None
    error: RunError | None = None


class _OvertakenError(Exception):
    """Another attempt, a cancel or a deletion came in between: whatever this one has is void."""


async def answer_run(parts: Answering, run_id: str, asked: Asked | None = None) -> None:
    """Execute one attempt at a run, to its end or until it is taken away.

    `asked` is what came of the ask, where it has just been made.
    Returns at once when there is nothing to do: the run has ended, or it is not its thread's turn.
    Raises UnavailableError when the database does not answer, for the engine to try again.
    """
    try:
        run = await _claim(parts, run_id)
    except asyncio.CancelledError:  # it may have been claimed all the same
        await _give_back(parts, run_id)
        raise
    if run is None:
        return
    structlog.contextvars.bind_contextvars(
        run_id=run_id, thread_id=run.thread_id, attempt=run.attempt
    )
    try:
        with parts.telemetry.attempt(run):
            await _Attempt(parts, run, asked).execute()
    except _OvertakenError:
        log.info("run overtaken")


async def _claim(parts: Answering, run_id: str) -> Run | None:
    async with parts.database.write() as tx:
        run = await runs.claim_run(
            tx, run_id, worker_id=parts.worker_id, model=parts.model, started_at=utc_now()
        )
        if run is not None and run.attempt > 1:
            await messages.reset_answer(tx, run.message_id)
    return run


async def _give_back(parts: Answering, run_id: str) -> None:
    async with parts.database.write() as tx:
        await runs.give_back_run(tx, run_id, worker_id=parts.worker_id)


class _Attempt:
    """One attempt at a run, and the text that it has so far."""

    def __init__(self, parts: Answering, run: Run, asked: Asked | None) -> None:
        self._parts = parts
        self._run = run
        self._asked = asked
        self._pieces: list[str] = []
        self._length = 0
        self._first_token_seconds: float | None = None
        self._saved_at = time.monotonic()
        self._settled = False

    async def execute(self) -> None:
        try:
            ending = await self._speak()
        except asyncio.CancelledError:
            await _undisturbed(self._settle_cancelled())
            raise
        except (ModelError, UnavailableError) as error:
            if error.code == "database_unavailable":
                raise
            ending = _Ending("failed", error=_run_error(error))
        except _OvertakenError:
            raise
        except Exception:
            log.exception("run crashed")
            ending = _Ending("failed", error=_CRASHED)
        try:
            await _undisturbed(self._end_patiently(ending))
        except (_OvertakenError, UnavailableError):
            raise
        except Exception:  # without an end the model would be asked again and again
            log.exception("end could not be stored")
            await _undisturbed(self._end_patiently(_Ending("failed", error=_CRASHED)))

    async def _speak(self) -> _Ending:
        question = await self._announce()
        budget = self._parts.history_tokens
        while True:
            try:
                return await self._stream(await self._turns(question, budget))
            except ContextTooLongError:
                if self._length or not budget or question.parent_id is None:
                    raise
                budget = shorter(budget, question.path_tokens)

    async def _announce(self) -> Message:
        """Tell that the attempt begins, and return the question."""
        title, question = await self._title_and_question()
        if self._run.attempt > 1:
            self._publish(RunRestarted(self._run.attempt))
        # Again, for who comes now: the log may have lost what the attempts before this one said.
        self._publish(RunStarted(self._run, title, question))
        self._publish(MessageStarted(self._run.message_id))
        return question

    async def _title_and_question(self) -> tuple[str, Message]:
        if self._asked is not None:
            return self._asked.thread.title, self._asked.question
        async with self._parts.database.read() as tx:
            thread = await threads.fetch_thread(tx, self._run.thread_id, user_id=self._run.user_id)
            question = await messages.fetch_message(
                tx, self._run.reply_to, thread_id=self._run.thread_id
            )
            if thread is None or question is None:
                raise _OvertakenError
            [question] = await messages.with_relations(tx, [question])
        return thread.title, question

    async def _turns(self, question: Message, budget: int) -> list[Turn]:
        if question.parent_id is None and question.reply_to is None:
            return [await self._turn(question, {})]
        async with self._parts.database.read() as tx:
            history = await messages.fetch_history(
                tx, question.message_id, cut_before=cut_before(question.path_tokens, budget)
            )
            history = await messages.with_files(tx, history)
            pointed_at = [m.reply_to for m in history if m.role == "user" and m.reply_to]
            quotes = await messages.fetch_messages(tx, pointed_at) if pointed_at else {}
        return alternating([await self._turn(m, quotes) for m in history if _is_sent(m)])

    async def _turn(self, message: Message, quotes: dict[int, Message]) -> Turn:
        quote = quotes.get(message.reply_to or 0) if message.role == "user" else None
        text = quoted(quote.content, message.content) if quote else message.content
        return Turn(message.role, text, await self._pictures(message.files))

    async def _pictures(self, files: Sequence[File]) -> tuple[Picture, ...]:
        pictures = []
        for file in files:
            try:
                data = await self._parts.blobs.get(original_key(file.file_id))
            except NotFoundError:
                log.warning("file has no bytes", file_id=file.file_id)
                continue
            data, media_type = await images.for_model(data, file.content_type)
            pictures.append(
                Picture(file.filename, file.content_type, file.width, file.height, media_type, data)
            )
        return tuple(pictures)

    async def _stream(self, turns: list[Turn]) -> _Ending:
        settings = GenerationSettings(
            model=self._parts.model,
            instructions=self._parts.instructions,
            user_tag=hashlib.sha256(b"user:" + self._run.user_id.encode()).hexdigest()[:32],
        )
        with self._parts.telemetry.model_call(self._run, settings.model) as call:
            async with aclosing(self._parts.model_server.stream(turns, settings)) as stream:
                async for item in stream:
                    if isinstance(item, End):
                        call.answered(item.model, item.reason, item.usage)
                        return self._ending(item)
                    if not self._length:
                        self._first_token_seconds = call.first_text()
                    await self._add(item)
            raise ModelError("The model server's answer broke off.")

    async def _add(self, delta: Delta) -> None:
        self._publish(MessageDelta(delta.text, self._length))
        self._pieces.append(delta.text)
        self._length += len(delta.text)
        if time.monotonic() - self._saved_at < _SAVE_SECONDS:
            return
        try:
            held = await self._save()
        except UnavailableError:
            log.warning("text so far could not be saved")  # the end may have more luck
            held = True
        if not held:
            await _undisturbed(self._settle_cancelled())
            raise _OvertakenError
        self._saved_at = time.monotonic()

    async def _save(self) -> bool:
        async with self._parts.database.write() as tx:
            held = await runs.hold_attempt(tx, self._run.run_id, self._run.attempt)
            if held:
                await messages.save_answer(tx, self._run.message_id, content=self._text)
        return held

    def _ending(self, end: End) -> _Ending:
        error = _STOPPED_SHORT.get(end.reason)
        if error is None and not self._length:
            error = _EMPTY
        return _Ending("incomplete" if error else "completed", end.model, end.usage, error)

    async def _end_patiently(self, ending: _Ending) -> None:
        """Do not have the model say it all again because the database is away for a moment."""
        for _ in range(_END_TRIES):
            try:
                return await self._end(ending)
            except UnavailableError:
                log.warning("end could not be stored and is tried again")
                await asyncio.sleep(_END_PAUSE_SECONDS)
        return await self._end(ending)

    async def _end(self, ending: _Ending) -> None:
        """Store the end, then tell it; what was overtaken changes nothing and tells nothing."""
        now = utc_now()
        async with self._parts.database.write() as tx:
            thread = await self._lock_thread(tx)
            run = await runs.end_run(
                tx,
                self._run.run_id,
                attempt=self._run.attempt,
                status=ending.status,
                ended_at=now,
                model=ending.model,
                usage=ending.usage,
                error=ending.error,
            )
            if run is not None:
                message = await self._store_answer(tx, thread, _message_status(ending.status))
                next_run_id = await runs.hand_on_thread(tx, run, now)
        if run is None:
            await self._settle_cancelled()
            return
        self._tell_end(run, message)
        if next_run_id:
            await self._parts.engine.submit_run(next_run_id)

    async def _settle_cancelled(self) -> None:
        """After a cancel, store and announce what was delivered; else give the run back."""
        if self._settled:
            return
        async with self._parts.database.write() as tx:
            thread = await self._lock_thread(tx)
            run = await runs.hold_cancelled(tx, self._run.run_id, self._run.attempt)
            if run is None and await runs.fetch_run(tx, self._run.run_id) is not None:
                await runs.give_back_run(tx, self._run.run_id, worker_id=self._parts.worker_id)
                return
            if run is not None:
                message = await self._store_answer(tx, thread, "incomplete")
        self._settled = True
        if run is None:
            self._publish(RunEnded(replace(self._run, status="cancelled", ended_at=utc_now())))
        else:
            self._tell_end(run, message)

    async def _lock_thread(self, tx: db.Tx) -> Thread | None:
        return await threads.lock_thread(tx, self._run.thread_id, user_id=self._run.user_id)

    async def _store_answer(
        self, tx: db.Tx, thread: Thread | None, status: MessageStatus
    ) -> Message:
        message = await messages.end_answer(
            tx,
            self._run.message_id,
            status=status,
            content=self._text,
            tokens=estimate_tokens(self._text),
            # A thread's head is the end of a branch.
            is_leaf=thread is not None and thread.head_id == self._run.message_id,
        )
        if message is None:
            raise _OvertakenError
        [message] = await messages.with_relations(tx, [message])
        return message

    def _tell_end(self, run: Run, message: Message) -> None:
        self._publish(MessageCompleted(message))
        self._publish(RunEnded(run))
        self._parts.telemetry.run_ended(run, self._first_token_seconds)

    def _publish(self, event: Event) -> None:
        events = self._parts.engine.events
        if events.publish(self._run.run_id, self._run.attempt, event) is None:
            raise _OvertakenError

    @property
    def _text(self) -> str:
        return "".join(self._pieces)


async def _undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Finish what stores and tells an end, though a cancel arrives in the middle of it."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _run_error(refusal: Refusal) -> RunError:
    if isinstance(refusal, ModelRateLimitedError | UnavailableError):
        return RunError(refusal.code, refusal.message, refusal.retry_after_seconds)
    return RunError(refusal.code, refusal.message)


def _is_sent(message: Message) -> bool:
    """Failed and empty answers are no turns: a model is never shown them."""
    if message.role == "user":
        return True
    return message.status in {"completed", "incomplete"} and bool(message.content.strip())


def _message_status(status: EndStatus) -> MessageStatus:
    return "incomplete" if status == "cancelled" else status
