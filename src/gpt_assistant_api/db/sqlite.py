"""SQLite: one writer whose transactions share their fsync, and a few readers beside it.

Writers take turns on one connection, each in a savepoint of one outer transaction, and are told
that they are done only after the COMMIT that holds them: a lone writer pays for its own fsync, many
pay for one together. A turn that is undone takes nobody with it; a COMMIT that fails fails all
who are in it, since later ones may have built on what earlier ones left.
"""

import asyncio
import sqlite3
from asyncio import AbstractEventLoop
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from gpt_assistant_api.db.database import PoolUse, check_within_time
from gpt_assistant_api.db.parameters import bind
from gpt_assistant_api.db.sqlite_connections import (
    Connection,
    Reader,
    Statement,
    Writer,
    execute,
    fetch_all,
    fetch_one,
)
from gpt_assistant_api.db.sqlite_file import SameFile, connect, sqlite_path
from gpt_assistant_api.db.sqlite_threads import Mailbox, Turns, Worker, database_closed
from gpt_assistant_api.domain.errors import ConfigurationError

READERS: Final = 4


class SqliteDatabase:
    """A SQLite file, opened by `open`."""

    dialect: Final = "sqlite"

    def __init__(
        self, connections: list[sqlite3.Connection], file: SameFile, loop: AbstractEventLoop
    ) -> None:
        mailbox = Mailbox(loop)
        self._read_turns = Turns[Connection](loop)
        self._readers = [
            Reader(connection, Worker("db-reader", loop, mailbox), self._read_turns)
            for connection in connections[1:]
        ]
        for reader in self._readers:
            self._read_turns.give_back(reader)
        self._write_turns = Turns[Connection](loop)
        self._writer = Writer(
            connections[0],
            Worker("db-writer", loop, mailbox),
            self._write_turns,
            loop=loop,
            file=file,
        )
        self._write_turns.keep_back = self._writer.commit
        self._write_turns.give_back(self._writer)

    @classmethod
    async def open(cls, url: str) -> "SqliteDatabase":
        """Open an existing file. Raises ConfigurationError when that cannot be done."""
        path = sqlite_path(url)
        try:
            connections = await asyncio.to_thread(_connect_all, path)
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The SQLite file in DATABASE_URL cannot be opened: {error}."
            ) from None
        return cls(connections, SameFile(path), asyncio.get_running_loop())

    def read(self) -> "_Block":
        """See Database.read."""
        return _Block(self._read_turns)

    def write(self) -> "_Block":
        """See Database.write."""
        return _Block(self._write_turns)

    async def check(self) -> None:
        """See Database.check."""
        await check_within_time(self, "UPDATE alembic_version SET version_num = version_num")

    def pools(self) -> dict[str, PoolUse]:
        """See Database.pools."""
        return {
            "readers": PoolUse(READERS - self._read_turns.free, READERS, self._read_turns.waiting),
            "writer": PoolUse(1 - self._write_turns.free, 1, self._write_turns.waiting),
        }

    async def close(self) -> None:
        """See Database.close."""
        self._read_turns.close()
        self._write_turns.close()
        for reader in self._readers:
            await reader.close()
        await self._writer.close()  # the last one out tidies up the write-ahead log


def _connect_all(path: Path) -> list[sqlite3.Connection]:
    writer, *readers = [connect(path) for _ in range(1 + READERS)]
    for reader in readers:
        reader.execute("PRAGMA query_only = ON")
    return [writer, *readers]


class _Block:
    """One transaction: a turn at a connection."""

    dialect: Final = "sqlite"

    def __init__(self, turns: Turns[Connection]) -> None:
        self._turns = turns
        self._connection: Connection | None = None
        self._unanswered = 0
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        self._connection = await self._turns.take()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.closed:
            self._failure = self._failure or database_closed()
        elif self._unanswered:
            connection.end_later()
            self._failure = self._failure or RuntimeError("A statement was not awaited.")
        else:
            durable = connection.end(keep=error is None and self._failure is None)
            if durable is not None:
                await durable
        if error is None and self._failure is not None:
            raise self._failure

    async def fetch_one(self, sql: str, **params: Any) -> dict[str, Any] | None:
        """See Tx.fetch_one."""
        row: dict[str, Any] | None = await self._run(fetch_one, sql, params)
        return row

    async def fetch_all(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        """See Tx.fetch_all."""
        rows: list[dict[str, Any]] = await self._run(fetch_all, sql, params)
        return rows

    async def execute(self, sql: str, **params: Any) -> int:
        """See Tx.execute."""
        changed: int = await self._run(execute, sql, params)
        return changed

    async def _run(self, statement: Statement, sql: str, params: dict[str, Any]) -> Any:
        if self._connection is None:
            raise RuntimeError("This transaction is over.")
        if self._failure is not None:
            raise self._failure
        if self._connection.closed:
            raise database_closed()
        if self._unanswered:
            raise RuntimeError("This transaction is still running another statement.")
        sql, arguments = bind("sqlite", sql, params)
        self._unanswered += 1
        try:
            result = await self._connection.run(statement, sql, arguments)
        except asyncio.CancelledError:  # the thread runs it all the same: it stays unanswered
            self._failure = RuntimeError("A statement of this transaction was cancelled.")
            raise
        except Exception as error:
            self._unanswered -= 1
            self._failure = error
            raise
        self._unanswered -= 1
        return result
