"""A database that does not always do what it is asked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from gpt_assistant_api.db import Database, Tx
from gpt_assistant_api.domain.errors import UnavailableError


class Unsteady:
    """A database whose writes can be held or refused."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.read = database.read
        self.check, self.close, self.pools = database.check, database.close, database.pools
        self.refused = 0
        self.held: asyncio.Event | None = None
        self.waiting = asyncio.Event()

    def write(self) -> AbstractAsyncContextManager[Tx]:
        return self._write()

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[Tx]:
        if self.held is not None:
            self.waiting.set()
            await self.held.wait()
        if self.refused:
            self.refused -= 1
            raise UnavailableError("Away.", code="database_unavailable")
        async with self._database.write() as tx:
            yield tx
