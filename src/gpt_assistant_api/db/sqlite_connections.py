"""The connections of a SQLite database: several that look, one that writes.

Short statements run on the event loop itself: handing one to a thread and back costs the loop more
than the statement does. A thread gets what may wait or take long: the lock, the disk at a
COMMIT, cascades, full-text search, and a look that is not over after two milliseconds.
"""

import sqlite3
from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any, Final

from gpt_assistant_api.db.database import Conflict
from gpt_assistant_api.db.sqlite_file import BUSY_SECONDS, SameFile
from gpt_assistant_api.db.sqlite_threads import Turns, Worker
from gpt_assistant_api.domain.errors import UnavailableError

MAX_GROUP: Final = 64
MAX_GROUP_SECONDS: Final = 0.005
MAX_GLANCE_SECONDS: Final = 0.002
_STEPS_BETWEEN_CHECKS: Final = 1000

Statement = Callable[[sqlite3.Connection, str, list[Any]], Any]

_CONFLICTS: Final = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
}
_TROUBLES: Final = {
    sqlite3.SQLITE_BUSY: "The database is locked by another program.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another program.",
    sqlite3.SQLITE_PROTOCOL: "The database is locked by another program.",
    sqlite3.SQLITE_FULL: "The disk of the database is full.",
    sqlite3.SQLITE_IOERR: "The disk of the database fails.",
    sqlite3.SQLITE_READONLY: "The database cannot be written.",
    sqlite3.SQLITE_PERM: "The database cannot be opened.",
    sqlite3.SQLITE_CANTOPEN: "The database cannot be opened.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged.",
    sqlite3.SQLITE_NOTADB: "The database file is damaged.",
    sqlite3.SQLITE_NOMEM: "The database is out of memory.",
}


class Connection(ABC):
    """A connection and its thread, used by one transaction at a time."""

    def __init__(
        self, connection: sqlite3.Connection, worker: Worker, turns: "Turns[Connection]"
    ) -> None:
        self.closed = False
        self._connection = connection
        self._worker = worker
        self._turns = turns
        self._until = inf
        connection.set_progress_handler(lambda: monotonic() > self._until, _STEPS_BETWEEN_CHECKS)

    @abstractmethod
    async def run(self, statement: Statement, sql: str, arguments: list[Any]) -> Any:
        """Run a statement in the transaction, which begins with the first one."""

    @abstractmethod
    def end(self, *, keep: bool) -> Future[None] | None:
        """End the transaction and its turn; a future tells when its work is durable."""

    @abstractmethod
    def end_later(self) -> None:
        """Undo the transaction after a statement that the thread still has to run."""

    async def _look(self, statement: Statement, sql: str, arguments: list[Any]) -> Any:
        """Run a statement that changes nothing, here or, if that takes long, on the thread."""
        if "MATCH" not in sql:  # full-text search works in steps too long to be stopped between
            with suppress(_TookTooLong):
                return self._glance(statement, sql, arguments)
        return await self._worker.call(statement, self._connection, sql, arguments)

    def _glance(self, statement: Statement, sql: str, arguments: list[Any]) -> Any:
        self._until = monotonic() + MAX_GLANCE_SECONDS
        try:
            return statement(self._connection, sql, arguments)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise _TookTooLong from None
            raise
        finally:
            self._until = inf

    async def close(self) -> None:
        """Close the connection after what was begun; an open transaction is undone."""
        self.closed = True
        await self._worker.stop()
        with suppress(sqlite3.Error):  # a thread that hangs is left behind
            self._connection.close()


class Reader(Connection):
    """A connection that only looks."""

    async def run(self, statement: Statement, sql: str, arguments: list[Any]) -> Any:
        """Run a statement; the first one takes the snapshot."""
        try:
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN")
            return await self._look(statement, sql, arguments)
        except sqlite3.Error as error:
            raise translated(error) from error

    def end(self, *, keep: bool) -> None:
        """Drop the snapshot."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT" if keep else "ROLLBACK")
        self._turns.give_back(self)

    def end_later(self) -> None:
        """Drop the snapshot when the thread is done."""
        self._worker.call(_nothing).add_done_callback(lambda _: self.end(keep=False))


class Writer(Connection):
    """The connection that writes.

    Each turn is a savepoint in one outer transaction. Its COMMIT comes when nobody waits for a
    turn, or the group is large or old enough, and holds the turn while the disk works.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        worker: Worker,
        turns: Turns[Connection],
        *,
        loop: AbstractEventLoop,
        file: SameFile,
    ) -> None:
        super().__init__(connection, worker, turns)
        self._loop = loop
        self._file = file
        self._in_turn = False
        self._kept: list[Future[None]] = []
        self._group_began = 0.0
        connection.execute("PRAGMA busy_timeout = 0")

    async def run(self, statement: Statement, sql: str, arguments: list[Any]) -> Any:
        """Run a statement here if it is short, else on the thread."""
        try:
            if not self._in_turn:
                await self._begin()
            if "unindexed_messages" in sql:  # entered by the hundred, in texts of any length
                return await self._worker.call(statement, self._connection, sql, arguments)
            if sql.startswith(("INSERT", "UPDATE")):
                return statement(self._connection, sql, arguments)
            if sql.startswith(("SELECT", "WITH")):
                return await self._look(statement, sql, arguments)
            return await self._worker.call(statement, self._connection, sql, arguments)
        except sqlite3.Error as error:
            self._check_group()
            raise translated(error) from error

    def end(self, *, keep: bool) -> Future[None] | None:
        """Keep or undo what the turn did."""
        try:
            if keep:
                return self._keep()
            self._undo()
            return None
        finally:
            if self._is_group_full():
                self.commit()
            else:
                self._turns.give_back(self)

    def end_later(self) -> None:
        """Undo the turn when the thread is done."""
        self._worker.call(_nothing).add_done_callback(lambda _: self.end(keep=False))

    def commit(self) -> bool:
        """Begin to commit what was kept, if anything was; the turn is given back afterwards."""
        if not self._kept:
            return False
        self._worker.call(self._commit).add_done_callback(self._committed)
        return True

    async def close(self) -> None:
        """Commit what was kept and close."""
        self.closed = True
        try:
            await self._worker.call(self._commit_kept)
        except (sqlite3.Error, UnavailableError) as error:
            self._settle_group(error)
        else:
            self._settle_group(None)
        await super().close()

    async def _begin(self) -> None:
        if not self._connection.in_transaction:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                await self._worker.call(self._begin_patiently)
            self._group_began = monotonic()
        self._connection.execute("SAVEPOINT turn")
        self._in_turn = True

    def _begin_patiently(self) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")

    def _keep(self) -> Future[None] | None:
        if not self._in_turn:
            return None
        try:
            self._connection.execute("RELEASE turn")
        except sqlite3.Error as error:
            self._undo()
            raise translated(error) from error
        self._in_turn = False
        durable: Future[None] = self._loop.create_future()
        self._kept.append(durable)
        return durable

    def _undo(self) -> None:
        try:
            if not self._kept and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            elif self._in_turn and self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO turn")
                self._connection.execute("RELEASE turn")
        except sqlite3.Error:
            self._roll_back()
        self._in_turn = False
        self._check_group()

    def _is_group_full(self) -> bool:
        return len(self._kept) >= MAX_GROUP or (
            bool(self._kept) and monotonic() - self._group_began > MAX_GROUP_SECONDS
        )

    def _commit(self) -> None:
        try:
            if not self._file:
                raise UnavailableError(
                    "The database file was moved or deleted.", code="database_unavailable"
                )
            self._connection.execute("COMMIT")
        except Exception:
            self._roll_back()
            raise

    def _commit_kept(self) -> None:
        if self._in_turn and self._connection.in_transaction:
            self._connection.execute("ROLLBACK TO turn")
        if self._kept and self._connection.in_transaction:
            self._commit()

    def _committed(self, commit: Future[None]) -> None:
        self._settle_group(commit.exception())
        self._turns.give_back(self)

    def _check_group(self) -> None:
        # A full disk, say, undoes the whole transaction and not just the statement.
        if not self._connection.in_transaction:
            self._in_turn = False
            self._settle_group(sqlite3.OperationalError("the transaction was rolled back"))

    def _settle_group(self, error: BaseException | None) -> None:
        kept, self._kept = self._kept, []
        for durable in kept:
            if durable.done():  # whoever waited was cancelled
                continue
            if error is None:
                durable.set_result(None)
            else:
                durable.set_exception(_unavailable(error))

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # it failed, and with that it is over
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


class _TookTooLong(Exception):
    """A look that the event loop should not wait for."""


def _nothing() -> None:
    """Nothing: whoever awaits it knows that the thread has done what came before."""


def fetch_one(
    connection: sqlite3.Connection, sql: str, arguments: list[Any]
) -> dict[str, Any] | None:
    """Take all rows and return the first: what a statement wrote is checked only at its end."""
    rows = fetch_all(connection, sql, arguments)
    return rows[0] if rows else None


def fetch_all(
    connection: sqlite3.Connection, sql: str, arguments: list[Any]
) -> list[dict[str, Any]]:
    """Return the rows by column name."""
    cursor = connection.execute(sql, arguments)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def execute(connection: sqlite3.Connection, sql: str, arguments: list[Any]) -> int:
    """Return how many rows were changed."""
    return max(0, connection.execute(sql, arguments).rowcount)


def translated(error: sqlite3.Error) -> Exception:
    """Return what the caller can answer; a mistake in the statement stays what it is."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _CONFLICTS:
        return Conflict(str(error))
    return _unavailable(error) if code & 0xFF in _TROUBLES else error


def _unavailable(error: BaseException) -> UnavailableError:
    if isinstance(error, UnavailableError):
        return UnavailableError(error.message, code=error.code)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR)
    return UnavailableError(
        _TROUBLES.get(code & 0xFF, "The disk of the database fails."), code="database_unavailable"
    )
