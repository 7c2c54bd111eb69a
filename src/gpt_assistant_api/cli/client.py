"""What the command line needs of a running server, over HTTP."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self
from uuid import uuid4

import aiohttp

_SILENCE_SECONDS = 60.0  # a stream sends a comment every 15 s
_CONNECT_SECONDS = 10.0
_MAX_LINE_BYTES = 16 * 1024 * 1024


class ProblemError(Exception):
    """The server refused, in its own words."""


class UnreachableError(Exception):
    """Nothing answers there, or no longer."""


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One server-sent event."""

    id: str
    name: str
    data: dict[str, Any]


class Client:
    """A connection to one server."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS
            ),
            read_bufsize=_MAX_LINE_BYTES // 2,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get_health(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        return await self._send("GET", "/healthz")

    async def upload_file(self, file: BinaryIO, filename: str, user_id: str | None) -> str:
        """Store an image and return its id."""
        form = aiohttp.FormData()
        if user_id:
            form.add_field("user_id", user_id)
        form.add_field("file", file, filename=filename, content_type="application/octet-stream")
        stored = await self._send("POST", "/upload-file", data=form)
        return str(stored["file_id"])

    async def ask(self, question: dict[str, Any], key: str) -> dict[str, Any]:
        """Ask, without waiting for the answer; with the same `key` it is one question."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": key}
        return await self._send("POST", "/ask", json=question, headers=headers)

    async def get_run(self, run_id: str) -> dict[str, Any]:
        """Return the run as it stands."""
        return await self._send("GET", f"/runs/{run_id}")

    async def cancel_run(self, run_id: str) -> dict[str, Any]:
        """Stop the run."""
        return await self._send("POST", f"/runs/{run_id}/cancel")

    async def watch_run(self, run_id: str, after: str | None) -> AsyncIterator[StreamedEvent]:
        """Yield the run's events after the one with the id `after`, until the stream ends."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        try:
            async with self._session.get(
                f"{self._url}/runs/{run_id}/events", headers=headers, allow_redirects=False
            ) as response:
                await _raise_for_problem(response)
                async for event in _events(response):
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(str(error)) from None

    async def _send(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            async with self._session.request(
                method, f"{self._url}{path}", allow_redirects=False, **content
            ) as response:
                await _raise_for_problem(response)
                answer: dict[str, Any] = await response.json()
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(str(error)) from None


def new_key() -> str:
    """Return a new Idempotency-Key."""
    return uuid4().hex


async def _raise_for_problem(response: aiohttp.ClientResponse) -> None:
    if response.status < 300:
        return
    try:
        problem = json.loads(await response.read())
        text = f"{problem['detail']} ({problem['code']})"
        text += "".join(
            f"\n  {error['field']} {error['message']}" for error in problem.get("errors") or ()
        )
    except (ValueError, KeyError, TypeError):
        text = f"The server answered {response.status}, not in the way of this API: check the URL."
    raise ProblemError(text)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[StreamedEvent]:
    """Read the frames that this server writes: one line for each field, LF at its end."""
    fields: dict[str, str] = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
            continue
        if "data" in fields:
            yield StreamedEvent(fields["id"], fields["event"], json.loads(fields["data"]))
        fields = {}
