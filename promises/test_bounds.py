"""What is bounded is bounded exactly: the last that is allowed is taken, one more is refused."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.api.helpers import assert_problem, png
from tests.processes import server_process

_CLEF = "\U0001d11e"  # one character, two of UTF-16 and four bytes


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client of the program in open mode, with the offline assistant."""
    with server_process(tmp_path) as server:
        await server.start()
        async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
            yield client


async def test_the_last_that_is_allowed_is_taken_and_one_more_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    thread_id = (await _ask(client)).json()["thread_id"]
    thread = f"/threads/ada/{thread_id}"
    files = [await _upload(client) for _ in range(11)]

    for path in ("/threads/ada", thread, "/search/ada"):
        for limit, status in {1: 200, 100: 200, 0: 422, 101: 422}.items():
            page = await client.get(path, params={"q": "hello", "limit": limit})
            assert page.status_code == status, page.text

    assert (await _ask(client, prompt=_CLEF * 200_000)).status_code == 202
    assert_problem(await _ask(client, prompt=_CLEF * 200_001), 422, "invalid_request")
    assert (await _ask(client, user_id=_CLEF * 255)).status_code == 202
    assert_problem(await _ask(client, user_id=_CLEF * 256), 422, "invalid_request")
    assert (await _ask(client, file_ids=files[:10])).status_code == 202
    assert_problem(await _ask(client, file_ids=files), 422, "invalid_request")
    assert (await client.patch(thread, json={"title": _CLEF * 200})).status_code == 200
    title = await client.patch(thread, json={"title": _CLEF * 201})
    assert_problem(title, 422, "invalid_request")

    keys = [b"!", b"~" * 255, bytes(range(0x21, 0x7F))]
    for key in keys:
        assert (await _ask(client, key=key)).status_code == 202
    for key in (b"~" * 256, b"a b", b"", "\xe9".encode(), b"a\tb"):
        assert_problem(await _ask(client, key=key), 422, "invalid_request")


async def _ask(
    client: httpx2.AsyncClient, key: bytes | None = None, **body: Any
) -> httpx2.Response:
    headers: dict[str, Any] = {"Prefer": "respond-async"}
    if key is not None:
        headers["Idempotency-Key"] = key
    body = {"user_id": "ada", "prompt": "Hello."} | body
    return await client.post("/ask", json=body, headers=headers)


async def _upload(client: httpx2.AsyncClient) -> str:
    picture = {"file": ("a.png", png())}
    response = await client.post("/upload-file", data={"user_id": "ada"}, files=picture)
    file_id: str = response.json()["file_id"]
    return file_id
