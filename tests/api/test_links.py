"""Signed links: one file in one size until one moment, and nothing else."""

import time
from collections.abc import AsyncGenerator, Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from structlog.testing import capture_logs

from gpt_assistant_api.domain.links import sign
from tests.api.credentials import Service, guarded
from tests.api.helpers import png
from tests.server import client_of

REFUSED = {401, 403, 404, 422}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with guarded(tmp_path_factory.mktemp("links"), link_secret="9f3c" * 4 + "0b7d" * 12) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client with the good key."""
    async with client_of(service.server, service.key) as client:
        yield client


@pytest.fixture
async def nobody(service: Service) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client without credentials, as an `<img>` is."""
    async with client_of(service.server) as client:
        yield client


async def make_link(client: httpx2.AsyncClient, name: str = "url") -> str:
    """Have ada ask with a picture, and return its link as her thread gives it."""
    data = {"user_id": "ada", "prompt": "Look."}
    files = {"file": ("a.png", png(), "image/png")}
    thread_id = (await client.post("/ask", data=data, files=files)).json()["thread_id"]
    page = (await client.get(f"/threads/ada/{thread_id}")).json()
    link: str = page["messages"][0]["files"][0][name]
    return link


def parts_of(link: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(link)
    return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}


async def test_a_link_opens_its_file_and_its_thumbnail_for_anybody(
    client: httpx2.AsyncClient, nobody: httpx2.AsyncClient
) -> None:
    for name in ("url", "thumbnail_url"):
        response = await nobody.get(await make_link(client, name))
        assert response.status_code == 200
        assert response.headers["content-type"] in {"image/png", "image/jpeg", "image/webp"}
        assert response.headers["cache-control"].startswith("private")


async def test_no_changed_link_opens_anything(
    client: httpx2.AsyncClient, nobody: httpx2.AsyncClient
) -> None:
    path, parts = parts_of(await make_link(client, "thumbnail_url"))
    other_path, other = parts_of(await make_link(client, "thumbnail_url"))
    expires, signature = parts["expires"], parts["signature"]
    changes: list[tuple[str, list[str | None]]] = [
        ("size", [None, "", "64", "0256", "+256", " 256", "256.0", "2_56"]),
        ("expires", [None, "", "-1", str(int(expires) + 1), f"0{expires}", f"+{expires}"]),
        ("expires", [f"{expires} ", f"{expires}.0", "9" * 30, "\u0661"]),
        ("signature", [None, "", signature[:-1], f"{signature}=", signature.swapcase(), "A" * 101]),
        ("signature", [other["signature"]]),
    ]
    for name, spellings in changes:
        for spelt in spellings:
            changed = {
                key: value for key, value in (parts | {name: spelt}).items() if value is not None
            }
            response = await nobody.get(path, params=changed)
            assert response.status_code in REFUSED, (name, spelt)
    for wrong in (other_path, path.upper(), f"{path}0", f"{path[:-1]}%2f"):
        assert (await nobody.get(wrong, params=parts)).status_code in REFUSED
    doubled = f"{path}?{urlencode(parts)}&expires={int(expires) + 1}"
    assert (await nobody.get(doubled)).status_code in REFUSED
    assert (await nobody.get(path, params=parts)).status_code == 200


async def test_a_link_ends_at_its_moment(
    service: Service, client: httpx2.AsyncClient, nobody: httpx2.AsyncClient
) -> None:
    path, _ = parts_of(await make_link(client))
    secret = service.server.settings.link_secret
    assert secret is not None

    async def status_of(expires: int) -> int:
        signature = sign(secret.get_secret_value().encode(), path.split("/")[-1], None, expires)
        params = {"expires": str(expires), "signature": signature}
        return (await nobody.get(path, params=params)).status_code

    now = int(time.time())
    assert await status_of(now + 5) == 200
    assert await status_of(now) == 403
    assert await status_of(now - 1) == 403


async def test_a_link_ends_with_its_file(
    client: httpx2.AsyncClient, nobody: httpx2.AsyncClient
) -> None:
    link = await make_link(client)
    assert (await client.delete("/users/ada")).status_code == 204
    assert (await nobody.get(link)).status_code == 404


async def test_links_are_never_logged(
    client: httpx2.AsyncClient, nobody: httpx2.AsyncClient
) -> None:
    with capture_logs() as lines:
        link = await make_link(client)
        await nobody.get(link)
        await nobody.get(link.replace("signature=", "signature=x"))
    signature = parts_of(link)[1]["signature"]
    assert any(line.get("path") == "/get-file/{file_id}" for line in lines)
    assert signature not in str(lines)
