"""Images that were changed at random are accepted or refused, and stop nothing."""

import asyncio
import random
import sqlite3
from collections import Counter
from pathlib import Path

import httpx2
from tests.images.builders import every_kind
from tests.images.test_refused import mutate
from tests.processes import server_process

_UPLOADERS = 6


async def test_changed_images_stop_nothing_and_leave_nothing_over(
    tmp_path: Path, chance: random.Random, full: bool
) -> None:
    kinds = list(every_kind().values())
    left = 100_000 if full else 300
    statuses: Counter[int] = Counter()

    async def upload(client: httpx2.AsyncClient) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            files = {"file": ("a.png", mutate(chance, chance.choice(kinds)), "image/png")}
            response = await client.post("/upload-file", files=files, data={"user_id": "ada"})
            statuses[response.status_code] += 1
            if response.status_code == 201 and chance.random() < 0.1:
                thumbnail = await client.get(response.json()["thumbnail_url"])
                assert thumbnail.status_code == 200, thumbnail.text

    with server_process(tmp_path) as server:
        await server.start()
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
            await asyncio.gather(*(upload(client) for _ in range(_UPLOADERS)))
            assert (await client.get("/readyz")).status_code == 200
        assert "Traceback" not in server.log.read_text()
    print(dict(statuses))  # noqa: T201
    assert set(statuses) <= {201, 415, 422}
    connection = sqlite3.connect(tmp_path / "data" / "assistant.db")
    recorded = {name for (name,) in connection.execute("SELECT file_id FROM files")}
    connection.close()
    kept = {path.name for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()}
    originals = {name for name in kept if name in recorded}
    assert len(recorded) == statuses[201]
    assert originals == recorded
    assert {name for name in kept if not name.startswith(tuple(recorded))} == set()
