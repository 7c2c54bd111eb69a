"""Queries on `runs`. Every write names the attempt or the status that it builds on."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gpt_assistant_api.db import messages
from gpt_assistant_api.db import usage as usages
from gpt_assistant_api.db.database import Tx
from gpt_assistant_api.db.workers import ALIVE
from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import EndStatus, Run, RunError, Usage
from gpt_assistant_api.domain.usage import Used

_COLUMNS = (
    "run_id, thread_id, user_id, message_id, reply_to, status, attempt, model, input_tokens,"
    " output_tokens, total_tokens, error_code, error_detail, retry_after_seconds, created_at,"
    " started_at, ended_at, traceparent"
)


def _run(row: Mapping[str, Any]) -> Run:
    counted = row["total_tokens"] is not None
    code = row["error_code"]
    return Run(
        run_id=row["run_id"],
        thread_id=row["thread_id"],
        user_id=row["user_id"],
        message_id=row["message_id"],
        reply_to=row["reply_to"],
        status=row["status"],
        attempt=row["attempt"],
        model=row["model"],
        usage=Usage(row["input_tokens"], row["output_tokens"], row["total_tokens"])
        if counted
        else None,
        error=RunError(code, row["error_detail"], row["retry_after_seconds"]) if code else None,
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        traceparent=row["traceparent"],
    )


async def insert_run(tx: Tx, run: Run, *, key_id: str | None = None) -> None:
    """Store a queued run, with the key that it was asked for with."""
    await tx.execute(
        "INSERT INTO runs (run_id, thread_id, user_id, message_id, reply_to, status, attempt,"
        " created_at, key_id, traceparent) VALUES (:run_id, :thread_id, :user_id, :message_id,"
        " :reply_to, :status, :attempt, :created_at, :key_id, :traceparent)",
        run_id=run.run_id,
        thread_id=run.thread_id,
        user_id=run.user_id,
        message_id=run.message_id,
        reply_to=run.reply_to,
        status=run.status,
        attempt=run.attempt,
        created_at=run.created_at,
        key_id=key_id,
        traceparent=run.traceparent,
    )


async def fetch_run(tx: Tx, run_id: str) -> Run | None:
    """Return the run; whose it is, is for the caller to judge."""
    row = await tx.fetch_one(f"SELECT {_COLUMNS} FROM runs WHERE run_id = :run_id", run_id=run_id)
    return _run(row) if row else None


async def claim_run(
    tx: Tx, run_id: str, *, worker_id: str, model: str, started_at: datetime
) -> Run | None:
    """Begin the next attempt at an unfinished run that is its thread's active one.

    Returns None when there is nothing to do, or another worker that is there is doing it. The
    attempt in the answer fences every later write.
    """
    row = await tx.fetch_one(
        "UPDATE runs SET attempt = attempt + 1, status = 'in_progress', model = :model,"
        " started_at = COALESCE(started_at, :started_at), worker_id = :worker_id"
        " WHERE run_id = :run_id AND status IN ('queued', 'in_progress') AND EXISTS"
        " (SELECT 1 FROM threads WHERE threads.thread_id = runs.thread_id"
        " AND threads.active_run_id = runs.run_id)"
        f" AND (worker_id = :worker_id OR NOT {ALIVE.format(run='runs')}) RETURNING {_COLUMNS}",
        run_id=run_id,
        worker_id=worker_id,
        model=model,
        started_at=started_at,
    )
    return _run(row) if row else None


async def give_back_run(tx: Tx, run_id: str, *, worker_id: str) -> None:
    """Say that this worker no longer executes a run, for any to begin the next attempt."""
    await tx.execute(
        "UPDATE runs SET worker_id = NULL"
        " WHERE run_id = :run_id AND worker_id = :worker_id AND status = 'in_progress'",
        run_id=run_id,
        worker_id=worker_id,
    )


async def hold_attempt(tx: Tx, run_id: str, attempt: int) -> bool:
    """Keep an attempt from being overtaken, cancelled or deleted until this transaction ends.

    False when that has happened already.
    """
    changed = await tx.execute(
        "UPDATE runs SET attempt = attempt"
        " WHERE run_id = :run_id AND attempt = :attempt AND status = 'in_progress'",
        run_id=run_id,
        attempt=attempt,
    )
    return changed > 0


async def end_run(
    tx: Tx,
    run_id: str,
    *,
    attempt: int | None,
    status: EndStatus,
    ended_at: datetime,
    model: str | None = None,
    usage: Usage | None = None,
    error: RunError | None = None,
) -> Run | None:
    """Move an unfinished run to its end, or return None when it has one or the attempt is old.

    `attempt=None` is for who may end a run without executing it: a cancel. What the run used is
    counted for its user and its key.
    """
    fence = "AND attempt = :attempt AND status = 'in_progress'" if attempt is not None else ""
    row = await tx.fetch_one(
        "UPDATE runs SET status = :status, ended_at = :ended_at, model = COALESCE(:model, model),"
        " input_tokens = :input_tokens, output_tokens = :output_tokens,"
        " total_tokens = :total_tokens, error_code = :error_code, error_detail = :error_detail,"
        " retry_after_seconds = :retry_after_seconds WHERE run_id = :run_id"
        f" AND status IN ('queued', 'in_progress') {fence} RETURNING {_COLUMNS}, key_id",
        run_id=run_id,
        status=status,
        ended_at=ended_at,
        model=model,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        total_tokens=usage.total_tokens if usage else None,
        error_code=error.code if error else None,
        error_detail=error.detail if error else None,
        retry_after_seconds=error.retry_after_seconds if error else None,
        **({"attempt": attempt} if attempt is not None else {}),
    )
    if row is None:
        return None
    run, day = _run(row), ended_at.astimezone(UTC).date()
    tokens = dataclasses.asdict(usage) if usage else {}
    await usages.add_usage(tx, run.user_id, day, Used(runs=1, **tokens))
    if usage and row["key_id"]:
        await usages.add_key_tokens(tx, row["key_id"], day, usage.total_tokens, run_id=run_id)
    return run


async def cancel_run(tx: Tx, run_id: str, ended_at: datetime) -> tuple[Run, Message] | None:
    """End a run as cancelled, its answer incomplete with the text that is stored.

    Returns None when the run has ended already. The transaction must have locked the thread.
    """
    run = await end_run(tx, run_id, attempt=None, status="cancelled", ended_at=ended_at)
    if run is None:
        return None
    await messages.stop_answer(tx, run.message_id)
    return run, await _answer_of(tx, run)


async def hold_cancelled(tx: Tx, run_id: str, attempt: int) -> Run | None:
    """Keep a cancelled run from being taken from this attempt until this transaction ends.

    Returns None when the run is not cancelled, was taken, or is gone.
    """
    row = await tx.fetch_one(
        "UPDATE runs SET attempt = attempt WHERE run_id = :run_id AND attempt = :attempt"
        f" AND status = 'cancelled' RETURNING {_COLUMNS}",
        run_id=run_id,
        attempt=attempt,
    )
    return _run(row) if row else None


async def take_cancelled(tx: Tx, run: Run) -> tuple[Run, Message] | None:
    """Take a cancelled run from the attempt that executes it, which changes nothing from now on.

    Returns the run under its new attempt with its answer as it is stored, or None when it is gone.
    """
    row = await tx.fetch_one(
        "UPDATE runs SET attempt = attempt + 1 WHERE run_id = :run_id AND attempt = :attempt"
        f" AND status = 'cancelled' RETURNING {_COLUMNS}",
        run_id=run.run_id,
        attempt=run.attempt,
    )
    if row is None:
        return None
    taken = _run(row)
    return taken, await _answer_of(tx, taken)


async def _answer_of(tx: Tx, run: Run) -> Message:
    answer = await messages.fetch_message(tx, run.message_id, thread_id=run.thread_id)
    assert answer is not None, "a run cannot be without its message"
    [answer] = await messages.with_relations(tx, [answer])
    return answer


async def hand_on_thread(tx: Tx, run: Run, at: datetime) -> str | None:
    """Make the run that waits longest the active one of the thread that this run held.

    Returns its id, or None where nobody waits or the thread is another run's. The transaction must
    have locked the thread, or a run that is enqueued now would wait forever.
    """
    row = await tx.fetch_one(
        # A thread's runs are indexed with all that ever ended, a user's unfinished by themselves.
        "UPDATE threads SET updated_at = :at, active_run_id = (SELECT r.run_id FROM runs r"
        "  WHERE r.user_id = :user_id AND r.status IN ('queued', 'in_progress')"
        "  AND r.status = 'queued' AND r.thread_id = :thread_id ORDER BY r.message_id LIMIT 1)"
        " WHERE thread_id = :thread_id AND active_run_id = :run_id RETURNING active_run_id",
        thread_id=run.thread_id,
        user_id=run.user_id,
        run_id=run.run_id,
        at=at,
    )
    return row["active_run_id"] if row else None


async def fetch_unfinished(tx: Tx, *, created_before: datetime, limit: int) -> list[str]:
    """Return the ids of active runs that nobody executes, oldest first."""
    rows = await tx.fetch_all(
        "SELECT r.run_id, r.created_at FROM runs r JOIN threads t ON t.active_run_id = r.run_id"
        " AND t.thread_id = r.thread_id WHERE r.status IN ('queued', 'in_progress')"
        f" AND NOT {ALIVE.format(run='r')} ORDER BY r.created_at LIMIT :limit",
        limit=limit,
    )
    # A condition on created_at would tempt SQLite away from the index of the unfinished.
    return [row["run_id"] for row in rows if row["created_at"] < created_before]


class Unfinished(NamedTuple):
    """How many runs have not ended; `due` are queued and it is their thread's turn."""

    queued: int
    in_progress: int
    due: int


async def count_unfinished(tx: Tx) -> Unfinished:
    """Count the runs that have not ended."""
    rows = await tx.fetch_all(
        "SELECT r.status, COUNT(*) AS runs, COUNT(t.thread_id) AS active FROM runs r"
        " LEFT JOIN threads t ON t.thread_id = r.thread_id AND t.active_run_id = r.run_id"
        " WHERE r.status IN ('queued', 'in_progress') GROUP BY r.status"
    )
    counted = {row["status"]: (row["runs"], row["active"]) for row in rows}
    queued, due = counted.get("queued", (0, 0))
    return Unfinished(queued, counted.get("in_progress", (0, 0))[0], due)


async def fetch_unfinished_of_thread(tx: Tx, thread_id: str, *, user_id: str) -> list[Run]:
    """Return a thread's runs that have not ended, in the order in which they were asked for."""
    # A thread's runs are indexed with all that ever ended, a user's unfinished ones by themselves.
    unfinished = await fetch_unfinished_of_user(tx, user_id)
    return [run for run in unfinished if run.thread_id == thread_id]


async def fetch_unfinished_of_user(tx: Tx, user_id: str) -> list[Run]:
    """Return a user's runs that have not ended, in the order in which they were asked for."""
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM runs"
        " WHERE user_id = :user_id AND status IN ('queued', 'in_progress') ORDER BY message_id",
        user_id=user_id,
    )
    return [_run(row) for row in rows]


async def count_unfinished_of_key(tx: Tx, key_id: str) -> int:
    """Return how many runs that were asked for with a key have not ended."""
    row = await tx.fetch_one(
        "SELECT COUNT(*) AS n FROM runs"
        " WHERE key_id = :key_id AND status IN ('queued', 'in_progress')",
        key_id=key_id,
    )
    return int(row["n"]) if row else 0


async def fetch_runs_of_user(
    tx: Tx, user_id: str, *, after: tuple[datetime, str] | None, limit: int
) -> list[Run]:
    """Return up to `limit` of a user's runs, oldest first, that come after `after`."""
    position = "AND (created_at, run_id) > (:created_at, :run_id)" if after else ""
    moment, run_id = after or (None, None)
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM runs WHERE user_id = :user_id {position}"
        " ORDER BY created_at, run_id LIMIT :limit",
        user_id=user_id,
        limit=limit,
        **({"created_at": moment, "run_id": run_id} if after else {}),
    )
    return [_run(row) for row in rows]
