"""Who executes runs is there as long as it counts, and no longer."""

from gpt_assistant_api.db import Database, workers
from gpt_assistant_api.services.workers import LOOKS, Worker


async def there(database: Database) -> set[str]:
    async with database.read() as tx:
        return set(await workers.fetch_beats(tx))


async def test_whose_count_stands_still_is_removed_and_who_counts_stays(
    database: Database,
) -> None:
    a, b, dead = (Worker(database, name, alone=False) for name in ("a", "b", "dead"))
    for worker in (a, b, dead):
        await worker.begin()
    for _ in range(LOOKS):
        assert not await a.look()
        assert not await b.look()
    assert await there(database) == {"a", "b", "dead"}
    assert await a.look()
    assert await there(database) == {"a", "b"}
    assert not await b.look()


async def test_who_was_taken_for_dead_comes_back_by_counting(database: Database) -> None:
    a, frozen = (Worker(database, name, alone=False) for name in ("a", "frozen"))
    await a.begin()
    await frozen.begin()
    for _ in range(LOOKS + 1):
        await a.look()
    assert await there(database) == {"a"}
    assert not await frozen.look()
    assert await there(database) == {"a", "frozen"}


async def test_who_looks_seldom_does_not_take_others_for_dead(database: Database) -> None:
    a, b = (Worker(database, name, alone=False) for name in ("a", "b"))
    await a.begin()
    await b.begin()
    for _ in range(3 * LOOKS):
        await b.look()
        assert not await a.look()


async def test_who_is_alone_knows_that_the_others_are_dead(database: Database) -> None:
    await Worker(database, "before", alone=False).begin()
    worker = Worker(database, "now", alone=True)
    await worker.begin()
    assert await there(database) == {"now"}
    await worker.end()
    assert await there(database) == set()
