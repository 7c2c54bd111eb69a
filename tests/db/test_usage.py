"""What is counted when runs end, and what becomes of it."""

import asyncio
from datetime import timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from gpt_assistant_api.db import Database, migrate, open_database, runs, usage, users
from gpt_assistant_api.domain.runs import Usage
from gpt_assistant_api.domain.usage import Used
from tests.db.builders import NOON, count, insert_message, insert_thread, insert_user
from tests.db.test_runs import make_run
from tests.db.trees import make_thread

TODAY = NOON.date()


async def used_by(database: Database, user_id: str) -> dict[str, Used]:
    async with database.read() as tx:
        days = await usage.fetch_usage(tx, user_id, TODAY - timedelta(9), TODAY + timedelta(9))
    return {day.isoformat(): used for day, used in days.items()}


async def test_a_run_counts_once_on_the_day_of_its_end_whatever_the_end(
    database: Database,
) -> None:
    await make_thread(database)
    async with database.write() as tx:
        for number, days in enumerate((0, 0, 1)):
            run_id = f"run_{number}"
            await make_run(tx, run_id)
            claimed = await runs.claim_run(
                tx, run_id, worker_id="worker_1", model="sim", started_at=NOON
            )
            assert claimed is not None
            for _ in range(2):
                await runs.end_run(
                    tx, run_id, attempt=1, status="completed", usage=Usage(10, 5, 15),
                    ended_at=NOON + timedelta(days),
                )  # fmt: skip
        await make_run(tx, "run_3")
        await runs.cancel_run(tx, "run_3", NOON)
    assert await used_by(database, "ada") == {
        "2026-11-24": Used(3, 20, 10, 30),
        "2026-11-25": Used(1, 10, 5, 15),
    }
    assert await used_by(database, "bob") == {}
    async with database.write() as tx:
        assert await usage.count_tokens(tx, "ada", TODAY) == 30
        assert await users.delete_user(tx, "ada")
    assert await used_by(database, "ada") == {}


async def test_runs_of_one_key_that_end_at_once_are_all_counted(database: Database) -> None:
    async def end(number: int) -> None:
        async with database.write() as tx:
            await usage.add_usage(tx, f"user_{number % 3}", TODAY, Used(1, 2, 3, 5))
            await usage.add_key_tokens(tx, "key_1", TODAY, 5, run_id=f"run_{number}")

    await asyncio.gather(*(end(number) for number in range(60)))
    async with database.read() as tx:
        assert await usage.count_key_tokens(tx, "key_1", TODAY) == 300
        assert await usage.count_key_tokens(tx, "key_2", TODAY) == 0
        assert await usage.count_tokens(tx, "user_1", TODAY) == 100


@pytest.fixture
def first_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have migrations end with the first one."""

    def begin(connection: Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(migrate.SCRIPTS))
        command.upgrade(config, "20261124_0200")

    monkeypatch.setattr(migrate, "_run_migrations", begin)
    monkeypatch.setattr(migrate, "_create_on_sqlite", migrate.run_migrations_on_sqlite)
    monkeypatch.setattr(migrate, "HEAD", "20261124_0200")


async def test_runs_that_ended_before_there_was_a_count_are_in_it(
    empty_database_url: str, first_release: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await open_database(empty_database_url, migrate=True)
    async with database.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")
        message_id = await insert_message(tx, "t", "ada")
        for number, (hours, tokens) in enumerate([(0, 15), (11, 7), (12, 1), (0, None), (None, 9)]):
            await tx.execute(
                "INSERT INTO runs (run_id, thread_id, user_id, message_id, reply_to, status,"
                " input_tokens, output_tokens, total_tokens, created_at, ended_at) VALUES (:run_id,"
                " 't', 'ada', :message_id, :message_id, 'completed', :tokens, 0, :tokens, :at,"
                " :ended_at)",
                run_id=f"run_{number}",
                message_id=message_id,
                tokens=tokens,
                at=NOON,
                ended_at=None if hours is None else NOON + timedelta(hours=hours),
            )
    await database.close()
    monkeypatch.undo()
    database = await open_database(empty_database_url, migrate=True)
    assert await used_by(database, "ada") == {
        "2026-11-24": Used(3, 22, 0, 22),
        "2026-11-25": Used(1, 1, 0, 1),
    }
    assert await count(database, "daily_key_usage") == 0
    await database.close()
