"""The program as clients find it: behind several addresses, of which some may not listen now."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.05
_SILENCE_SECONDS = 40.0


class Service:
    """Sends each request to one replica of several, as a load balancer does.

    Where nobody listens it goes to the next, and round again while all are down. What breaks later
    raises TransportError: the outcome is not known, and repeating is for the client to decide.
    """

    def __init__(self, urls: Sequence[str], chance: random.Random) -> None:
        # A connection for each request: one that was kept may be closed by the time it is used.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._clients = {
            url: httpx2.AsyncClient(base_url=url, timeout=_SILENCE_SECONDS, limits=limits)
            for url in urls
        }
        self._out: set[str] = set()
        self._chance = chance

    def take_out(self, url: str) -> None:
        """Send no new requests to a replica that is about to stop."""
        self._out.add(url)

    def put_back(self, url: str) -> None:
        """Send requests to a replica again."""
        self._out.remove(url)

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

    @asynccontextmanager
    async def open(
        self, method: str, path: str, **sent: Any
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Begin a request; the response is there once it has a status."""
        response = await self._begin(method, path, sent)
        try:
            yield response
        finally:
            await response.aclose()

    async def request(self, method: str, path: str, **sent: Any) -> httpx2.Response:
        """Return the whole response."""
        async with self.open(method, path, **sent) as response:
            await response.aread()
        return response

    async def _begin(self, method: str, path: str, sent: dict[str, Any]) -> httpx2.Response:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                urls = list(self._clients)
                self._chance.shuffle(urls)
                for url in urls:
                    if url in self._out:
                        continue
                    client = self._clients[url]
                    request = client.build_request(method, path, **sent)
                    try:
                        return await client.send(request, stream=True)
                    except (httpx2.ConnectError, AttributeError):
                        # The latter: it died as it accepted, and the client looks at a socket gone.
                        continue
                await asyncio.sleep(_PAUSE_SECONDS)
