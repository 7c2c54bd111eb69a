"""Uploading files and getting them back."""

import io

import httpx2
import pytest
from PIL import Image

from tests.api.helpers import assert_problem, png


async def upload(client: httpx2.AsyncClient, data: bytes, name: str = "a.png") -> httpx2.Response:
    """Upload for ada."""
    return await client.post("/upload-file", data={"user_id": "ada"}, files={"file": (name, data)})


async def test_an_upload_is_recognised_by_its_bytes(client: httpx2.AsyncClient) -> None:
    response = await client.post(
        "/upload-file", files={"file": ("evil.html", png(size=(8, 6)), "text/html")}
    )
    assert response.status_code == 201
    file = response.json()
    assert file == {
        "file_id": file["file_id"],
        "filename": "evil.png",
        "content_type": "image/png",
        "bytes": file["bytes"],
        "width": 8,
        "height": 6,
        "url": file["url"],
        "thumbnail_url": file["thumbnail_url"],
        "created_at": file["created_at"],
    }
    got = await client.get(file["url"])
    assert got.headers["content-type"] == "image/png"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-disposition"].startswith('inline; filename="evil.png"')
    assert "sandbox" in got.headers["content-security-policy"]
    assert len(got.content) == file["bytes"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "file_unsupported"),
        (b"", 415, "file_unsupported"),
        (png()[:60], 422, "file_corrupt"),
    ],
)
async def test_a_refused_upload_says_why(
    client: httpx2.AsyncClient, data: bytes, status: int, code: str
) -> None:
    assert_problem(await upload(client, data), status, code)


async def test_a_body_over_the_limit_is_refused(client: httpx2.AsyncClient) -> None:
    too_large = await upload(client, b"x" * (21 * 1024 * 1024))
    assert_problem(too_large, 413, "body_too_large")


async def test_an_upload_needs_exactly_one_file(client: httpx2.AsyncClient) -> None:
    none = await client.post("/upload-file", data={"user_id": "ada"})
    assert_problem(none, 422, "invalid_request")
    two = await client.post("/upload-file", files=[("file", ("a", png())), ("file", ("b", png()))])
    assert_problem(two, 422, "invalid_request")
    json = await client.post("/upload-file", json={"user_id": "ada"})
    assert_problem(json, 415, "media_type_unsupported")


async def test_ranges_and_conditional_requests_work(client: httpx2.AsyncClient) -> None:
    url = (await upload(client, png(size=(64, 64)))).json()["url"]
    whole = (await client.get(url)).content
    etag = (await client.get(url)).headers["etag"]
    size = len(whole)

    async def get(**headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.get(url, headers=named)

    for sent, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, size),
        ("bytes=-4", size - 4, size),
        (f"bytes=2-{size * 9}", 2, size),
    ):
        part = await get(Range=sent)
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.content == whole[start:end]
    for sent in ("bytes=9-2", "items=0-1", "bytes=0-1,4-5", "bytes=", "bytes=-"):
        assert (await get(Range=sent)).content == whole
    for sent in (f"bytes={size}-", "bytes=-0"):
        beyond = await get(Range=sent)
        assert_problem(beyond, 416, "range_not_satisfiable")
        assert beyond.headers["content-range"] == f"bytes */{size}"
    assert (await get(If_None_Match=etag)).status_code == 304
    assert (await get(If_None_Match=f'"x", W/{etag}')).status_code == 304
    assert (await get(If_None_Match='"x"')).status_code == 200
    assert (await get(Range="bytes=0-1", If_Range=etag)).status_code == 206
    assert (await get(Range="bytes=0-1", If_Range='"x"')).status_code == 200


async def test_a_thumbnail_is_small_and_made_once(client: httpx2.AsyncClient) -> None:
    file = (await upload(client, png(size=(900, 300)))).json()
    first, second = await client.get(file["thumbnail_url"]), await client.get(file["thumbnail_url"])
    assert first.content == second.content
    with Image.open(io.BytesIO(first.content)) as image:
        assert image.size == (256, 85)
    by_owner = await client.get(f"/get-file/{file['file_id']}", params={"size": 64})
    with Image.open(io.BytesIO(by_owner.content)) as image:
        assert image.size == (64, 21)
    wrong = await client.get(f"/get-file/{file['file_id']}", params={"size": 65})
    assert_problem(wrong, 422, "invalid_request")
