"""Pages of threads, and who may release one."""

from datetime import timedelta

from gpt_assistant_api.db import Database, threads
from tests.db.builders import NOON
from tests.db.trees import make_thread


async def test_pages_of_threads_meet_though_many_changed_at_the_same_moment(
    database: Database,
) -> None:
    for number in range(7):
        await make_thread(
            database, f"thread_{number}", updated_at=NOON + timedelta(seconds=number // 3)
        )
    await make_thread(database, "thread_x", user_id="bob")
    seen: list[str] = []
    before = None
    async with database.read() as tx:
        while page := await threads.fetch_threads(tx, "ada", before=before, limit=2):
            seen += [thread.thread_id for thread in page]
            before = page[-1].updated_at, page[-1].thread_id
    assert seen == [f"thread_{number}" for number in (6, 5, 4, 3, 2, 1, 0)]


async def test_a_thread_is_locked_and_renamed_by_its_user_alone(
    database: Database,
) -> None:
    thread = await make_thread(database)
    async with database.write() as tx:
        assert await threads.lock_thread(tx, thread.thread_id, user_id="bob") is None
        assert await threads.lock_thread(tx, thread.thread_id, user_id="ada") == thread
        await threads.update_thread(
            tx, thread.thread_id, title="New", head_id=None, active_run_id="run_1", updated_at=NOON
        )
        assert await threads.fetch_titles(tx, [thread.thread_id, "thread_x"]) == {"thread_1": "New"}
