"""One attempt at a run: what it leaves behind when something comes in between."""

import asyncio
import io
from dataclasses import replace
from typing import Any

import pytest

from gpt_assistant_api.blobs import Blobs, original_key
from gpt_assistant_api.db import Tx, messages, runs
from gpt_assistant_api.domain.asks import Ask, Asked, RunLimits
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.events import MessageCompleted, MessageDelta, RunEnded, RunStarted
from gpt_assistant_api.domain.history import estimate_tokens
from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import Run, RunError
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.services import answers
from gpt_assistant_api.services.answers import Answering, answer_run
from gpt_assistant_api.services.asks import ask
from gpt_assistant_api.services.files import Upload, upload_file
from gpt_assistant_api.services.runs import cancel_run, get_run, watch_run
from tests.api.helpers import png
from tests.model_server import Answer, ModelServerSimulation
from tests.services.unsteady import Unsteady


async def asked(parts: Answering, actor: Actor, prompt: str = "Why?", **more: Any) -> Asked:
    request = Ask("ada", prompt, **more)
    return await ask(parts.database, parts.engine, RunLimits(), actor, request)


async def stored(parts: Answering, asked_: Asked) -> tuple[Run, Message]:
    async with parts.database.read() as tx:
        run = await runs.fetch_run(tx, asked_.run.run_id)
        assert run is not None
        message = await messages.fetch_message(tx, run.message_id, thread_id=run.thread_id)
    assert message is not None
    return run, message


async def events_of(parts: Answering, actor: Actor, run_id: str) -> list[Any]:
    run = await get_run(parts.database, actor, run_id)
    async with asyncio.timeout(10):
        return [
            logged.event
            async for batch in watch_run(parts.database, parts.engine, run)
            for logged in batch
        ]


async def test_an_attempt_that_was_overtaken_writes_and_tells_nothing(
    answering: Answering, anybody: Actor, upstream: ModelServerSimulation
) -> None:
    gate = Answer(text="Too late", pieces=3, pause_after=1)
    upstream.script(gate)
    question = await asked(answering, anybody)
    run_id = question.run.run_id
    old = asyncio.ensure_future(answer_run(answering, run_id))
    await upstream.wait_for_request(1)
    async with answering.database.write() as tx:
        assert await runs.claim_run(
            tx, run_id, worker_id="worker_1", model="sim", started_at=utc_now()
        )
        assert not await runs.hold_attempt(tx, run_id, 1)
        assert await runs.hold_attempt(tx, run_id, 2)
    gate.release()
    await old
    run, message = await stored(answering, question)
    assert (run.status, run.attempt) == ("in_progress", 2)
    assert (message.status, message.content) == ("in_progress", "")
    assert not await answering.engine.events.end_of(run_id)


async def test_a_second_attempt_says_again_how_the_run_begins(
    answering: Answering, anybody: Actor, upstream: ModelServerSimulation
) -> None:
    question = await asked(answering, anybody)
    async with answering.database.write() as tx:
        await runs.claim_run(
            tx, question.run.run_id, worker_id="worker_1", model="sim", started_at=utc_now()
        )
    await answer_run(answering, question.run.run_id)
    names = [type(e).__name__ for e in await events_of(answering, anybody, question.run.run_id)]
    assert names[:3] == ["RunRestarted", "RunStarted", "MessageStarted"]
    assert names[-2:] == ["MessageCompleted", "RunEnded"]


async def test_a_cancel_in_the_middle_of_the_end_leaves_one_whole_end(
    answering: Answering, anybody: Actor, upstream: ModelServerSimulation
) -> None:
    unsteady = Unsteady(answering.database)
    parts = replace(answering, database=unsteady)
    gate = Answer(text="All of it", pieces=3, pause_after=1)
    upstream.script(gate)
    question = await asked(parts, anybody)
    task = asyncio.ensure_future(answer_run(parts, question.run.run_id))
    await upstream.wait_for_request(1)
    unsteady.held = asyncio.Event()
    gate.release()
    await unsteady.waiting.wait()
    task.cancel()
    unsteady.held.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    run, message = await stored(answering, question)
    assert (run.status, message.content) == ("completed", "All of it")
    events = await events_of(answering, anybody, run.run_id)
    assert [event.run.status for event in events if isinstance(event, RunEnded)] == ["completed"]


async def test_an_answer_waits_for_the_database_and_is_not_asked_for_again(
    answering: Answering,
    anybody: Actor,
    upstream: ModelServerSimulation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "_END_PAUSE_SECONDS", 0)
    monkeypatch.setattr(answers, "_SAVE_SECONDS", 0)
    unsteady = Unsteady(answering.database)
    parts = replace(answering, database=unsteady)
    gate = Answer(text="Patience", pieces=2, pause_after=1)
    upstream.script(gate)
    question = await asked(parts, anybody)
    task = asyncio.ensure_future(answer_run(parts, question.run.run_id))
    await upstream.wait_for_request(1)
    unsteady.refused = 9
    gate.release()
    await task
    run, message = await stored(answering, question)
    assert (run.status, run.attempt, message.content) == ("completed", 1, "Patience")
    assert len(upstream.requests) == 1


async def test_a_run_whose_pictures_are_out_of_reach_fails_and_says_so(
    answering: Answering, anybody: Actor, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Upload("a.png", io.BytesIO(png()))
    file = await upload_file(answering.database, blobs, anybody, "ada", upload)
    question = await asked(answering, anybody, file_ids=(file.file_id,))

    async def get(_: Blobs, key: str) -> bytes:
        raise UnavailableError("Away.", code="files_unavailable")

    monkeypatch.setattr(Blobs, "get", get)
    await answer_run(answering, question.run.run_id)
    run, _ = await stored(answering, question)
    assert run.status == "failed"
    assert run.error == RunError("files_unavailable", "Away.", 5)


async def test_a_picture_that_is_gone_does_not_stop_the_answer(
    answering: Answering, anybody: Actor, blobs: Blobs, upstream: ModelServerSimulation
) -> None:
    upload = Upload("a.png", io.BytesIO(png()))
    file = await upload_file(answering.database, blobs, anybody, "ada", upload)
    question = await asked(answering, anybody, file_ids=(file.file_id,))
    await blobs.delete([original_key(file.file_id)])
    await answer_run(answering, question.run.run_id)
    assert (await stored(answering, question))[0].status == "completed"
    assert upstream.requests[0].pictures == []


async def test_an_end_that_cannot_be_stored_is_a_failure_and_asks_nobody_again(
    answering: Answering,
    anybody: Actor,
    upstream: ModelServerSimulation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end_answer, refused = messages.end_answer, []

    async def end(tx: Tx, message_id: int, **values: Any) -> Message | None:
        if values["status"] == "completed":
            refused.append(message_id)
            raise OverflowError
        return await end_answer(tx, message_id, **values)

    monkeypatch.setattr(messages, "end_answer", end)
    question = await asked(answering, anybody)
    await answer_run(answering, question.run.run_id)
    run, message = await stored(answering, question)
    assert refused == [message.message_id]
    assert (run.status, run.attempt, message.status) == ("failed", 1, "failed")
    assert run.error is not None
    assert run.error.code == "internal_error"
    assert len(upstream.requests) == 1


async def test_what_was_asked_while_an_answer_grew_counts_its_tokens(
    answering: Answering, anybody: Actor, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="word " * 600))
    first = await asked(answering, anybody)
    more = {"thread_id": first.thread.thread_id, "if_busy": "enqueue"}
    later = [await asked(answering, anybody, prompt, **more) for prompt in ("b", "c")]
    for question in (first, *later):
        await answer_run(answering, question.run.run_id)
    counts = []
    async with answering.database.read() as tx:
        head = (await stored(answering, later[-1]))[1].message_id
        path = await messages.fetch_history(tx, head, cut_before=0)
    for before, after in zip([None, *path], path, strict=False):
        counts.append(after.path_tokens - (before.path_tokens if before else 0))
    own = [estimate_tokens(message.content) for message in path]
    assert counts == own
    assert counts[1] > 900


async def test_whoever_does_not_hear_of_a_cancel_in_time_changes_nothing_later(
    answering: Answering, anybody: Actor, engine: Engine, upstream: ModelServerSimulation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("gpt_assistant_api.engine.engine._CANCEL_SECONDS", 0.05)
    upstream.script(Answer(text="So far", pieces=["So ", "far"], pause_after=1))
    question = await asked(answering, anybody)
    run_id = question.run.run_id
    task = asyncio.ensure_future(answer_run(answering, run_id))
    watching = engine.events.watch(run_id)
    said: list[Any] = []
    while not any(isinstance(event, MessageDelta) for event in said):
        said += [logged.event for logged in await anext(watching)]
    await cancel_run(answering.database, engine, anybody, run_id)  # no engine tells the task
    told = await stored(answering, question)
    assert (told[0].status, told[0].attempt, told[1].content) == ("cancelled", 2, "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stored(answering, question) == told
    async for batch in watching:
        said += [logged.event for logged in batch]
    *begun, completed, ended = said
    assert not any(isinstance(event, MessageCompleted | RunEnded) for event in begun)
    assert (completed.message.content, ended) == ("", RunEnded(told[0]))


async def test_a_cancel_before_the_worker_knows_of_it_keeps_what_was_delivered(
    answering: Answering, anybody: Actor, engine: Engine, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="So far", pieces=["So ", "far"], pause_after=1))
    question = await asked(answering, anybody)
    run_id = question.run.run_id
    task = asyncio.ensure_future(answer_run(answering, run_id))
    seen: list[Any] = []
    async for batch in engine.events.watch(run_id):
        seen += batch
        if len(seen) >= 3:
            break
    cancelling = asyncio.ensure_future(cancel_run(answering.database, engine, anybody, run_id))
    while (await stored(answering, question))[0].status != "cancelled":  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await cancelling
    run, message = await stored(answering, question)
    assert (run.status, message.status, message.content) == ("cancelled", "incomplete", "So ")
    assert run.attempt == 1
    assert isinstance(seen[0].event, RunStarted)
