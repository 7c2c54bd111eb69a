"""Whose a file is, and when its record may go."""

import asyncio
from datetime import timedelta

from gpt_assistant_api.db import Database, Tx, files
from gpt_assistant_api.domain.files import File
from tests.db.builders import NOON
from tests.db.trees import add, make_thread


async def make_file(database: Database, file_id: str, user_id: str | None = None) -> File:
    """Store the record of a file."""
    file = File(file_id, user_id, "a.png", "image/png", 1, 1, 1, "", NOON)
    async with database.write() as tx:
        await files.insert_file(tx, file)
    return file


async def test_a_file_is_claimed_once_and_by_its_user_ever_again(database: Database) -> None:
    await make_thread(database)
    await make_thread(database, "thread_2", user_id="bob")
    await make_file(database, "file_1")
    async with database.write() as tx:
        for user_id, claimed in (("ada", True), ("bob", False), ("ada", True)):
            file = await files.claim_file(tx, "file_1", user_id=user_id)
            assert (file is not None) is claimed
        assert await files.claim_file(tx, "file_2", user_id="ada") is None


async def test_files_keep_their_order_on_a_message(database: Database) -> None:
    await make_thread(database)
    made = [await make_file(database, f"file_{n}", "ada") for n in range(3)]
    order = [made[2].file_id, made[0].file_id, made[1].file_id]
    async with database.write() as tx:
        message = await add(tx, None, image_id=order[0])
        await files.attach_files(tx, message.message_id, order)
        [found] = (await files.fetch_files_of(tx, [message.message_id])).values()
        assert sorted(await files.fetch_file_ids_in(tx, "thread_1")) == sorted(order)
    assert [file.file_id for file in found] == order


async def test_of_unclaimed_files_only_the_old_ones_go_a_page_at_a_time(
    database: Database,
) -> None:
    await make_thread(database)
    for number in range(3):
        await make_file(database, f"file_{number}")
    await make_file(database, "file_x", "ada")
    async with database.write() as tx:
        assert await files.delete_unclaimed(tx, created_before=NOON, limit=9) == []
        later = NOON + timedelta(seconds=1)
        assert len(await files.delete_unclaimed(tx, created_before=later, limit=2)) == 2
        assert len(await files.delete_unclaimed(tx, created_before=later, limit=2)) == 1
        assert await files.fetch_existing(tx, ["file_0", "file_x"]) == {"file_x"}


async def test_a_file_that_is_being_placed_on_a_message_is_not_deleted(
    postgres: Database,
) -> None:
    await make_thread(postgres)
    await make_file(postgres, "file_1", "ada")
    async with postgres.write() as tx:
        message = await add(tx, None, image_id="file_1")
        await files.claim_file(tx, "file_1", user_id="ada")
        await files.attach_files(tx, message.message_id, ["file_1"])
        deleting = asyncio.ensure_future(_delete(postgres, "file_1"))
        await _is_waiting(tx)
    assert await deleting == []


async def _delete(database: Database, file_id: str) -> list[str]:
    async with database.write() as tx:
        return await files.delete_unused(tx, [file_id])


async def _is_waiting(tx: Tx) -> None:
    """Wait until another transaction waits for this one."""
    async with asyncio.timeout(10):
        while not await tx.fetch_all(  # noqa: ASYNC110
            "SELECT 1 FROM pg_locks WHERE NOT granted"
        ):
            await asyncio.sleep(0.01)
