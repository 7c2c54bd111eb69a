"""How a run moves, and what its attempt fences."""

from datetime import timedelta

from gpt_assistant_api.db import Database, Tx, runs, threads, usage, workers
from gpt_assistant_api.domain.runs import Run, RunError, Usage
from gpt_assistant_api.domain.usage import Used
from tests.db.builders import NOON
from tests.db.trees import add, make_thread


async def make_run(tx: Tx, run_id: str, *, active: bool = True) -> Run:
    """Store a queued run with its messages in ada's thread."""
    question = await add(tx, None)
    answer = await add(tx, question, "assistant", status="in_progress", content="")
    run = Run(
        run_id, "thread_1", "ada", answer.message_id, question.message_id, "queued", 0, None,
        None, None, NOON, None, None,
    )  # fmt: skip
    await runs.insert_run(tx, run)
    if active:
        await threads.update_thread(
            tx, "thread_1", title="T", head_id=answer.message_id, active_run_id=run_id,
            updated_at=NOON,
        )  # fmt: skip
    return run


async def test_a_run_is_claimed_again_and_again_until_one_attempt_ends_it(
    database: Database,
) -> None:
    await make_thread(database)
    async with database.write() as tx:
        await make_run(tx, "run_1")
        first = await runs.claim_run(
            tx, "run_1", worker_id="worker_1", model="sim", started_at=NOON
        )
        second = await runs.claim_run(
            tx, "run_1", worker_id="worker_1", model="sim", started_at=NOON + timedelta(seconds=5)
        )
        assert first is not None
        assert second is not None
        assert (first.attempt, second.attempt, second.started_at) == (1, 2, NOON)
        assert not await runs.hold_attempt(tx, "run_1", 1)
        assert await runs.hold_attempt(tx, "run_1", 2)
        late = await runs.end_run(tx, "run_1", attempt=1, status="failed", ended_at=NOON)
        assert late is None
        ended = await runs.end_run(
            tx, "run_1", attempt=2, status="incomplete", ended_at=NOON, model="sim-2",
            usage=Usage(1, 2, 3), error=RunError("output_limit", "Full.", None),
        )  # fmt: skip
        assert ended is not None
        assert (ended.status, ended.model, ended.usage) == ("incomplete", "sim-2", Usage(1, 2, 3))
        assert await runs.fetch_run(tx, "run_1") == ended
        assert await runs.cancel_run(tx, "run_1", NOON) is None
        assert (
            await runs.claim_run(tx, "run_1", worker_id="worker_1", model="sim", started_at=NOON)
            is None
        )
        assert not await runs.hold_attempt(tx, "run_1", 2)
        used = await usage.fetch_usage(tx, "ada", NOON.date(), NOON.date())
        assert used == {NOON.date(): Used(1, 1, 2, 3)}


async def test_a_run_is_its_workers_until_it_is_given_back_or_the_worker_gone(
    database: Database,
) -> None:
    await make_thread(database)

    async def claimed_by(tx: Tx, worker_id: str) -> int | None:
        run = await runs.claim_run(tx, "run_1", worker_id=worker_id, model="sim", started_at=NOON)
        return run.attempt if run else None

    async def unclaimed(tx: Tx) -> list[str]:
        return await runs.fetch_unfinished(tx, created_before=NOON + timedelta(days=1), limit=9)

    async with database.write() as tx:
        await make_run(tx, "run_1")
        for worker_id in ("a", "b"):
            await workers.count_beat(tx, worker_id)
        assert await unclaimed(tx) == ["run_1"]
        assert [await claimed_by(tx, name) for name in ("a", "b", "a")] == [1, None, 2]
        assert await unclaimed(tx) == []
        await runs.give_back_run(tx, "run_1", worker_id="b")
        assert await claimed_by(tx, "b") is None
        await runs.give_back_run(tx, "run_1", worker_id="a")
        assert await unclaimed(tx) == ["run_1"]
        assert await claimed_by(tx, "b") == 3
        await workers.delete_worker(tx, "b")
        assert await unclaimed(tx) == ["run_1"]
        assert await claimed_by(tx, "a") == 4


async def test_only_the_active_run_of_a_thread_can_be_claimed(database: Database) -> None:
    await make_thread(database)
    async with database.write() as tx:
        first = await make_run(tx, "run_2")
        await make_run(tx, "run_1", active=False)
        assert (
            await runs.claim_run(tx, "run_1", worker_id="worker_1", model="sim", started_at=NOON)
            is None
        )
        later = NOON + timedelta(seconds=1)
        assert await runs.fetch_unfinished(tx, created_before=later, limit=9) == ["run_2"]
        waiting = await runs.fetch_unfinished_of_thread(tx, "thread_1", user_id="ada")
        assert [run.run_id for run in waiting] == ["run_2", "run_1"]
        cancelled = await runs.cancel_run(tx, "run_2", NOON)
        assert cancelled is not None
        assert cancelled[1].status == "incomplete"
        assert await runs.hand_on_thread(tx, first, NOON) == "run_1"
        assert (
            await runs.claim_run(tx, "run_1", worker_id="worker_1", model="sim", started_at=NOON)
            is not None
        )


async def test_pages_of_a_users_runs_meet(database: Database) -> None:
    await make_thread(database)
    async with database.write() as tx:
        for number in range(5):
            await make_run(tx, f"run_{number}", active=False)
        seen: list[str] = []
        after = None
        while page := await runs.fetch_runs_of_user(tx, "ada", after=after, limit=2):
            seen += [run.run_id for run in page]
            after = page[-1].created_at, page[-1].run_id
    assert seen == [f"run_{number}" for number in range(5)]
