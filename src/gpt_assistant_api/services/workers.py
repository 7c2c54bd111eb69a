"""Which processes execute runs, and which of them have died."""

from gpt_assistant_api import db
from gpt_assistant_api.db import workers

LOOKS = 5
"""How often a worker is looked at, and looks itself, within a lease."""


class Worker:
    """One process among those that execute runs.

    Each counts up in a row of its own, and whose count stands still for as many looks of another is
    taken for dead: its row is removed, and its runs are anybody's. No clocks are compared, and
    nobody dies because the database was away for all, for then nobody looks either. Who is `alone`
    by a lock looks at nobody.
    """

    def __init__(self, database: db.Database, worker_id: str, *, alone: bool) -> None:
        self.worker_id = worker_id
        self._database = database
        self._alone = alone
        self._seen: dict[str, tuple[int, int]] = {}

    async def begin(self) -> None:
        """Be there. Who is alone knows that everybody else is dead."""
        async with self._database.write() as tx:
            await workers.count_beat(tx, self.worker_id)
            if self._alone:
                for other in await workers.fetch_beats(tx):
                    if other != self.worker_id:
                        await workers.delete_worker(tx, other)

    async def end(self) -> None:
        """Be there no longer."""
        async with self._database.write() as tx:
            await workers.delete_worker(tx, self.worker_id)

    async def look(self) -> bool:
        """Count, and remove who does not count any more; tell whether there was anybody."""
        if self._alone:
            return False
        async with self._database.write() as tx:
            await workers.count_beat(tx, self.worker_id)
            beats = await workers.fetch_beats(tx)
        dead = [other for other in beats if self._stands_still(other, beats[other])]
        self._seen = {other: seen for other, seen in self._seen.items() if other in beats}
        if dead:
            async with self._database.write() as tx:
                for other in sorted(dead):
                    await workers.delete_worker(tx, other, beats=beats[other])
        return bool(dead)

    def _stands_still(self, worker_id: str, beats: int) -> bool:
        last, looks = self._seen.get(worker_id, (0, 0))
        self._seen[worker_id] = (beats, looks + 1 if beats == last else 0)
        return self._seen[worker_id][1] >= LOOKS
