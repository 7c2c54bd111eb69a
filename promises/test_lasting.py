"""A long time of load leaves memory and descriptors as they were, and backups restore."""

import asyncio
import copy
import dataclasses
import random
import sqlite3
import statistics
import time
from pathlib import Path

from tests.cli.programs import run
from tests.model_server import ModelServerSimulation
from tests.processes import server_process

from gpt_assistant_api.blobs import original_key
from promises.audit import audit_stored
from promises.crowd import settings_for, talking
from promises.ledger import Ledger
from promises.markers import Model
from promises.meters import MEGABYTE, memory_bytes, open_descriptors


async def test_load_leaves_memory_and_descriptors_as_they_were(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    upstream.default = Model(delay_seconds=0.001)
    seconds = 24 * 3_600 if full else 12
    samples: list[tuple[float, float]] = []
    with server_process(tmp_path, **settings_for(upstream)) as server:
        await server.start()
        descriptors = open_descriptors(server.pid)
        async with talking([server.url], chance, 4) as crowd:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await asyncio.sleep(seconds / 60)
                samples.append((time.monotonic() / 3_600, memory_bytes(server.pid) / MEGABYTE))
                upstream.requests.clear()
            await crowd.finish()
            async with asyncio.timeout(60):
                while (left := open_descriptors(server.pid)) > descriptors + 8:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
    half = samples[len(samples) // 2 :]
    slope = statistics.linear_regression(*zip(*half, strict=True)).slope
    print(  # noqa: T201
        {
            "asked": len(crowd.ledger.asked),
            "MB": [round(samples[at][1]) for at in (0, len(samples) // 2, -1)],
            "descriptors more": left - descriptors,
        }
    )
    assert crowd.ledger.wrong == []
    if full:
        assert slope <= 1


async def test_backups_that_are_made_under_load_hold_all_that_was_acknowledged(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    upstream.default = Model(delay_seconds=0.001)
    files = 0
    with server_process(tmp_path, **settings_for(upstream)) as server:
        await server.start()
        async with talking([server.url], chance, 4) as crowd:
            for number in range(50 if full else 3):
                await asyncio.sleep(chance.uniform(0.1, 1))
                known = _as_of_now(crowd.ledger)
                made = await asyncio.to_thread(run, tmp_path, "backup", f"backups/{number}")
                assert (made.status, made.err) == (0, "")
                folder = tmp_path / "backups" / str(number)
                known.deleting = crowd.ledger.deleting
                known.asked += [
                    dataclasses.replace(asked, acknowledged_at=None, refused=None)
                    for asked in crowd.ledger.asked[len(known.asked) :]
                ]
                assert await audit_stored(known, f"sqlite:///{folder / 'assistant.db'}") == []
                files += _check_files(folder)
            await crowd.finish()
    print({"asked": len(crowd.ledger.asked), "files in backups": files})  # noqa: T201
    assert files


def _as_of_now(ledger: Ledger) -> Ledger:
    """Copy what was told until now: a backup need not have what comes later."""
    known = copy.copy(ledger)
    known.asked = [dataclasses.replace(asked) for asked in ledger.asked]
    known.deleted = set(ledger.deleted)
    return known


def _check_files(folder: Path) -> int:
    """Check that every record has its bytes, and count them."""
    connection = sqlite3.connect(folder / "assistant.db")
    records = connection.execute("SELECT file_id, size_bytes FROM files").fetchall()
    connection.close()
    for file_id, size in records:
        assert (folder / "files" / original_key(file_id)).stat().st_size == size
    return len(records)
