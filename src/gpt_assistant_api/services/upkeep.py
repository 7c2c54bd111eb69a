"""What is done without being asked: runs that nobody has are handed over, leftovers removed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from gpt_assistant_api import db
from gpt_assistant_api.blobs import Blobs, file_id_of, keys_of
from gpt_assistant_api.db import files, idempotency, runs
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.engine import Engine

ORPHAN_AGE = timedelta(hours=1)
UNCLAIMED_AGE = timedelta(days=1)
IDEMPOTENCY_AGE = timedelta(days=2)
_PAGE = 100


async def resume_runs(
    database: db.Database, engine: Engine, *, older_than: timedelta = timedelta(0)
) -> int:
    """Hand every run that nobody executes to the engine, which ignores those it has; count them.

    At start this finds what a crash left behind, later what a dead worker or a lost queue has.
    """
    async with database.read() as tx:
        run_ids = await runs.fetch_unfinished(
            tx, created_before=utc_now() - older_than, limit=10_000
        )
    await engine.submit_runs(run_ids)
    return len(run_ids)


async def count_unfinished(database: db.Database) -> runs.Unfinished:
    """Count the runs that have not ended, of all processes together."""
    async with database.read() as tx:
        return await runs.count_unfinished(tx)


async def remove_leftovers(database: db.Database, blobs: Blobs) -> None:
    """Forget old idempotency keys, uploads that nobody claimed, and bytes without a record."""
    now = utc_now()
    async with database.write() as tx:
        await idempotency.delete_requests(tx, created_before=now - IDEMPOTENCY_AGE)
    while unclaimed := await _delete_unclaimed(database, now - UNCLAIMED_AGE):
        await blobs.delete(key for file_id in unclaimed for key in keys_of(file_id))
    await _delete_orphans(database, blobs, now - ORPHAN_AGE)


async def _delete_unclaimed(database: db.Database, created_before: datetime) -> list[str]:
    async with database.write() as tx:
        return await files.delete_unclaimed(tx, created_before=created_before, limit=_PAGE)


async def _delete_orphans(database: db.Database, blobs: Blobs, older_than: datetime) -> None:
    keys: list[str] = []
    async for key in blobs.list_older("", older_than):
        keys.append(key)
        if len(keys) == _PAGE:
            await _delete_if_orphans(database, blobs, keys)
            keys = []
    await _delete_if_orphans(database, blobs, keys)


async def _delete_if_orphans(database: db.Database, blobs: Blobs, keys: Sequence[str]) -> None:
    owners = {key: file_id for key in keys if (file_id := file_id_of(key)) is not None}
    async with database.read() as tx:
        existing = await files.fetch_existing(tx, sorted(set(owners.values())))
    await blobs.delete(key for key, file_id in owners.items() if file_id not in existing)
