"""A fault layer: a TCP proxy before a store, which can refuse, fall silent, cut and encrypt."""

import asyncio
import ssl
import struct
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

from tests.processes import free_port

State = Literal["open", "silent", "refusing"]
Link = TypeVar("Link", bound="FaultyLink")
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class FaultyLink:
    """What stands between a program and its store, on a thread of its own.

    `silent`: connections are taken and stay, and nothing passes any more in either direction.
    With `tls` it is the link that is encrypted, before a store that cannot do it by itself.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.tls = tls
        self._target = ("127.0.0.1", port)
        self._state: State = "open"
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty link")

    def start(self) -> None:
        """Let everything pass."""
        self._thread.start()
        self._do(self._listen())

    def become(self, state: State, *, cut: bool = True) -> None:
        """Change what happens to connections; `cut` ends those that there are.

        Without `cut`, a link that was silent goes on with what it has held back.
        """
        self._do(self._become(state, cut=cut))

    def stop(self) -> None:
        """End it with all its connections."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(10)

    async def _listen(self) -> None:
        self._passing.set()
        self._server = await self._serve()

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=self.tls)

    async def _become(self, state: State, *, cut: bool) -> None:
        if state == "silent":
            self._passing.clear()
        if cut:
            for writer in list(self._writers):
                writer.transport.abort()
        if state == "refusing" and self._server is not None:
            self._server.close()
            self._server = None
        elif state != "refusing" and self._server is None:
            self._server = await self._serve()
        if state == "open":
            self._passing.set()

    async def _end(self) -> None:
        await self._become("refusing", cut=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        try:
            begun = await self._begin(reader, writer)
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
            return
        there_writer.write(begun)
        pair = {writer, there_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, there_writer))
                group.create_task(self._pass(there_reader, writer))
        finally:
            self._writers -= pair

    async def _begin(self, _: asyncio.StreamReader, __: asyncio.StreamWriter) -> bytes:
        """Agree with a client on what comes first; return what of it is for the store."""
        return b""

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


class PostgresFront(FaultyLink):
    """A link that encrypts as PostgreSQL does, after a question; it counts who asked and got it."""

    encrypted = 0

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        first = await reader.readexactly(8)
        while first == SSL_REQUEST:
            writer.write(b"N" if self.tls is None else b"S")
            if self.tls is not None:
                await writer.start_tls(self.tls)
                self.encrypted += 1
            first = await reader.readexactly(8)
        return first


@contextmanager
def started(link: Link) -> Iterator[Link]:
    """Stand before a store while the block lasts."""
    link.start()
    try:
        yield link
    finally:
        link.stop()
