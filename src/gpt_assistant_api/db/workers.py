"""Queries on `workers`: the processes that execute runs, each with a count that shows it alive."""

from gpt_assistant_api.db.database import Tx

ALIVE = "EXISTS (SELECT 1 FROM workers w WHERE w.worker_id = {run}.worker_id)"
"""Whether the worker that executes a run is there."""


async def count_beat(tx: Tx, worker_id: str) -> None:
    """Raise the worker's count, or begin it."""
    await tx.execute(
        "INSERT INTO workers (worker_id, beats) VALUES (:worker_id, 1)"
        " ON CONFLICT (worker_id) DO UPDATE SET beats = workers.beats + 1",
        worker_id=worker_id,
    )


async def fetch_beats(tx: Tx) -> dict[str, int]:
    """Return the count of every worker that is there."""
    rows = await tx.fetch_all("SELECT worker_id, beats FROM workers")
    return {row["worker_id"]: row["beats"] for row in rows}


async def delete_worker(tx: Tx, worker_id: str, *, beats: int | None = None) -> None:
    """Remove a worker; with `beats`, only while that is its count."""
    unchanged = "AND beats = :beats" if beats is not None else ""
    await tx.execute(
        f"DELETE FROM workers WHERE worker_id = :worker_id {unchanged}",
        worker_id=worker_id,
        **({"beats": beats} if beats is not None else {}),
    )
