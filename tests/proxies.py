"""A proxy of the tests' own, in front of several servers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from urllib.parse import urlsplit


class RoundRobin:
    """Gives each connection to the next server in turn that listens."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._count = len(urls)
        self._turn = cycle([urlsplit(url) for url in urls])
        self.url = ""

    @asynccontextmanager
    async def laid(self) -> AsyncGenerator["RoundRobin", None]:
        """Carry connections while the block lasts."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self._count):
            target = next(self._turn)
            with suppress(ConnectionRefusedError):
                there, back = await asyncio.open_connection(target.hostname, target.port)
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
                return
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction to its end, and close what it leads to however it ends."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
