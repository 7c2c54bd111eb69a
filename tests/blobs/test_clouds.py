"""Object stores by their clouds' usual variables, and ones that fail. The clouds are imitated."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gpt_assistant_api.blobs import Blobs, open_blobs, original_key
from gpt_assistant_api.domain.errors import ConfigurationError, UnavailableError
from gpt_assistant_api.domain.ids import new_id
from tests.faults import FaultyLink, started
from tests.processes import free_port


class Cloud(ThreadingHTTPServer):
    """Keeps what is put under a path, or answers everything with a status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.status: int | None = None
        self.objects: dict[str, bytes] = {}
        self.credentials: set[str] = set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Cloud

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.credentials.add(self.headers.get("authorization", "").partition(" ")[0])
        path, objects = self.path.partition("?")[0], self.server.objects
        if self.server.status is not None:
            self._send(self.server.status)
        elif self.command == "PUT":
            objects[path] = body
            self._send(201)
        elif path not in objects:
            self._send(404)
        elif self.command == "DELETE":
            del objects[path]
            self._send(202)
        else:
            self._send(200, objects[path])

    do_GET = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - the library's names

    def _send(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", '"1"')
        self.send_header("last-modified", "Tue, 24 Nov 2026 12:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Run a store that takes anything for an address of its own."""
    with Cloud() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def works(blobs: Blobs) -> bool:
    key = original_key(new_id("file"))
    await blobs.put(key, b"bytes")
    return await blobs.get(key) == b"bytes"


async def test_azure_is_found_by_its_variables(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"key").decode())
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", cloud.url)
    assert await works(open_blobs("az://container/prefix"))
    assert all(path.startswith("/container/prefix/") for path in cloud.objects)
    assert cloud.credentials == {"SharedKey"}


async def test_s3_is_found_by_its_variables(
    s3_url: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    blobs = open_blobs(s3_url.partition("?")[0])
    assert await works(blobs)
    await blobs.examine()


def of(cloud_url: str) -> Blobs:
    return open_blobs(
        f"s3://bucket?endpoint={cloud_url}&region=us-east-1&access_key_id=a&secret_access_key=sesame"
    )


@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_are_refused_are_said(cloud: Cloud, status: int) -> None:
    cloud.status = status
    with pytest.raises(ConfigurationError, match="credentials") as refusal:
        await of(cloud.url).examine()
    assert "sesame" not in str(refusal.value)


async def test_a_store_that_fails_is_unavailable_until_it_is_well(cloud: Cloud) -> None:
    blobs = of(cloud.url)
    for status in (500, 503):
        cloud.status = status
        with pytest.raises(UnavailableError) as refusal:
            await blobs.examine()
        assert refusal.value.code == "files_unavailable"
    cloud.status = None
    assert await works(blobs)


async def test_a_store_that_is_not_there_is_unavailable() -> None:
    for place in (f"127.0.0.1:{free_port()}", "nowhere.invalid"):
        with pytest.raises(UnavailableError):
            await of(f"http://{place}").examine()


async def test_a_silent_store_is_given_up(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt_assistant_api.blobs.stores._TIMEOUT", timedelta(seconds=0.5))
    monkeypatch.setattr("gpt_assistant_api.blobs.stores._RETRY_TIMEOUT", timedelta(seconds=0.1))
    with started(FaultyLink(cloud.server_address[1])) as link:
        blobs = of(f"http://127.0.0.1:{link.port}")
        assert await works(blobs)
        await asyncio.to_thread(link.become, "silent", cut=False)
        with pytest.raises(UnavailableError):
            await works(blobs)
        await asyncio.to_thread(link.become, "open")
        assert await works(blobs)
