"""A ZIP of very many large files is made while it is sent, and never held."""

import asyncio
import io
import os
import zipfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
from PIL import Image
from tests.model_server import ModelServerSimulation
from tests.processes import server_process

_FILES_OF_A_QUESTION = 10
_WAITING = 4
_GROWN_MEGABYTES = 15


async def test_a_zip_of_very_many_large_files_streams_within_little_memory(
    tmp_path: Path, upstream: ModelServerSimulation, full: bool
) -> None:
    count, picture = (1_000, _noise(2_100, 1_600)) if full else (100, _noise(900, 720))
    # What was asked before is not sent again: a thousand pictures are for the ZIP alone.
    settings = {"OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "HISTORY_TOKENS": "1000"}
    with server_process(tmp_path, **settings) as server:
        await server.start()
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
            small = await _thread_of(client, picture, 1)
            large = await _thread_of(client, picture, count)
            await client.get(small)  # for what is loaded at the first one alone
            before = _memory_of(server.pid)
            async with _most_memory_of(server.pid) as samples, _waiting_readers(client, large):
                await _download(client, large, tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert len(set(archive.namelist())) == count
        assert archive.testzip() is None
        stored = sum(member.file_size for member in archive.infolist())
    grown = (max(samples) - before) / 1e6
    print({"files": count, "MB": stored // 1_000_000, "MB grown": round(grown, 1)})  # noqa: T201
    assert grown < _GROWN_MEGABYTES < stored / 1e6


def _noise(width: int, height: int) -> bytes:
    """Return a JPEG that cannot be made small: 1.55 bytes a pixel."""
    image = Image.frombytes("RGB", (width, height), os.urandom(width * height * 3))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=98)
    return stream.getvalue()


async def _thread_of(client: httpx2.AsyncClient, picture: bytes, count: int) -> str:
    """Make a thread with so many files, and return where its ZIP is."""
    body: dict[str, object] = {"user_id": "ada"}
    for done in range(0, count, _FILES_OF_A_QUESTION):
        ids = [
            await _upload(client, picture) for _ in range(min(_FILES_OF_A_QUESTION, count - done))
        ]
        response = await client.post("/ask", json={**body, "prompt": "What?", "file_ids": ids})
        assert response.status_code == 200, response.text
        body["thread_id"] = response.json()["thread_id"]
    return f"/threads/ada/{body['thread_id']}/download-files"


async def _upload(client: httpx2.AsyncClient, picture: bytes) -> str:
    files = {"file": ("photo.jpg", picture, "image/jpeg")}
    response = await client.post("/upload-file", data={"user_id": "ada"}, files=files)
    assert response.status_code == 201, response.text
    return str(response.json()["file_id"])


@asynccontextmanager
async def _waiting_readers(client: httpx2.AsyncClient, path: str) -> AsyncGenerator[None, None]:
    """Have others begin the same download, and read no further."""
    async with AsyncExitStack() as stack:
        for _ in range(_WAITING):
            response = await stack.enter_async_context(client.stream("GET", path))
            await anext(response.aiter_raw())
        yield


async def _download(client: httpx2.AsyncClient, path: str, target: Path) -> None:
    async with client.stream("GET", path) as response:
        assert response.status_code == 200
        with target.open("wb") as file:
            async for piece in response.aiter_raw():
                file.write(piece)


@asynccontextmanager
async def _most_memory_of(pid: int) -> AsyncGenerator[list[int], None]:
    samples = [_memory_of(pid)]

    async def look() -> None:
        while True:
            samples.append(_memory_of(pid))
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    try:
        yield samples
    finally:
        looking.cancel()


def _memory_of(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
