"""Images that were changed at random are accepted or refused, and stop nothing."""

import asyncio
import random
import sqlite3
import zlib
from collections import Counter
from pathlib import Path

import httpx2
from tests.images.builders import jpeg_segment, png_chunk, with_chunks
from tests.images.test_refused import (
    KINDS,
    gif_header,
    jpeg_header,
    mutate,
    png_header,
    webp_header,
)
from tests.processes import server_process

from promises.meters import (
    MEGABYTE,
    cpu_seconds,
    forget_peak,
    memory_bytes,
    peak_memory_bytes,
)

_UPLOADERS = 6


async def test_changed_images_stop_nothing_and_leave_nothing_over(
    tmp_path: Path, chance: random.Random, full: bool
) -> None:
    kinds = list(KINDS.values())
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


def _bombs() -> dict[str, bytes]:
    """Return what is small and would become very much, or would never end."""
    png, zeros = KINDS["png"], zlib.compress(bytes(200_000_000), 9)
    progressive = KINDS["progressive jpeg"]
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    tiny = b"," + bytes(4) + b"\x01\0\x01\0\0\x02\x02\x44\x01\0"
    makers = {"png": png_header, "gif": gif_header, "jpeg": jpeg_header, "webp": webp_header}
    return {
        **{f"huge {kind}": make(60_000, 60_000) for kind, make in makers.items()},
        "an endless column": png_header(1, 1_000_000),
        "a profile of gigabytes": with_chunks(png, png_chunk(b"iCCP", b"name\0\0" + zeros)),
        "more than its pixels": with_chunks(png, png_chunk(b"IDAT", zeros)),
        "pieces of a png": with_chunks(png, png_chunk(b"iTXt", b"") * 100_000),
        "pieces of a jpeg": KINDS["jpeg"][:2] + jpeg_segment(0xFE, b"") * 300_000,
        "pieces of a gif": KINDS["gif"][:-1] + b"!\xfe" + b"\x01a" * 300_000 + b"\0;",
        "frames of a gif": b"GIF89a\x01\0\x01\0\x80\0\0" + bytes(6) + tiny * 100_000 + b";",
        "scans of a jpeg": progressive[:-2] + scan * 1_000 + progressive[-2:],
    }


async def test_a_bomb_costs_little(tmp_path: Path) -> None:
    cpu: dict[str, float] = {}
    memory: dict[str, int] = {}
    with server_process(tmp_path) as server:
        await server.start()
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:

            async def upload(data: bytes) -> int:
                files = {"file": ("a.png", data, "image/png")}
                response = await client.post("/upload-file", files=files, data={"user_id": "ada"})
                return response.status_code

            for picture in KINDS.values():
                assert await upload(picture) == 201
            for name, data in _bombs().items():
                forget_peak(server.pid)
                before, used = memory_bytes(server.pid), cpu_seconds(server.pid)
                assert await upload(data) == (201 if name == "more than its pixels" else 422), name
                cpu[name] = cpu_seconds(server.pid) - used
                memory[name] = peak_memory_bytes(server.pid) - before
    most = {"ms of CPU": max(cpu.values()) * 1_000, "MB": max(memory.values()) / MEGABYTE}
    print({"bombs": len(cpu)} | {what: round(much) for what, much in most.items()})  # noqa: T201
    assert most["ms of CPU"] <= 300, cpu
    assert most["MB"] <= 100, memory
