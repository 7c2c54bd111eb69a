"""PostgreSQL by asyncpg: a pool, and transactions that never give a broken connection back."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

from gpt_assistant_api.db.database import Conflict, PoolUse, check_within_time
from gpt_assistant_api.db.parameters import bind
from gpt_assistant_api.db.postgresql_url import (
    COMMAND_SECONDS,
    CONNECT_SECONDS,
    PostgresAddress,
    explained,
    parse,
)
from gpt_assistant_api.domain.errors import UnavailableError

BEGIN_SECONDS: Final = 2.0
CLEANUP_SECONDS: Final = 5.0
CACHED_STATEMENTS: Final = 200

# What a lost program leaves open must not hold its locks for hours. Said in each transaction, and
# not once for the session: behind a pooler a session is nobody's.
_LIMITS: Final = (
    "; SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '10s'"
    "; SET LOCAL idle_in_transaction_session_timeout = '60s'"
)
_READ: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{_LIMITS}"
_WRITE: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE{_LIMITS}"

# A row that another probe is writing at this moment shows as much as one of our own.
_CHECK: Final = (
    "UPDATE alembic_version SET version_num = version_num WHERE version_num IN"
    " (SELECT version_num FROM alembic_version FOR UPDATE SKIP LOCKED)"
)

_CONFLICTS = (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError)
_OVERTAKEN = (asyncpg.TransactionRollbackError, asyncpg.LockNotAvailableError)
_TROUBLES = (
    OSError,  # TimeoutError among them
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.InternalClientError,
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


class PostgresDatabase:
    """A pool of connections, opened by `open`."""

    dialect: Final = "postgresql"

    def __init__(self, pool: "asyncpg.Pool") -> None:
        self._pool = pool
        self._leaving: set[asyncio.Task[None]] = set()
        self._waiting = 0

    @classmethod
    async def open(cls, url: str, *, max_connections: int) -> "PostgresDatabase":
        """Connect. Raises ConfigurationError or UnavailableError."""
        address = parse(url)
        cached_statements = await _cached_statements(address)

        async def connect_somewhere(*_: object, **__: object) -> Any:
            return await address.connect(cached_statements=cached_statements)

        # None is held without need: of each that it cannot renew the library logs a traceback.
        pool = await asyncpg.create_pool(
            min_size=0, max_size=max_connections, connect=connect_somewhere, reset=_keep_as_it_is
        )
        return cls(pool)

    def read(self) -> "_Block":
        """See Database.read."""
        return _Block(self, _READ)

    def write(self) -> "_Block":
        """See Database.write."""
        return _Block(self, _WRITE)

    async def check(self) -> None:
        """See Database.check."""
        await check_within_time(self, _CHECK)

    def pools(self) -> dict[str, PoolUse]:
        """See Database.pools."""
        in_use = self._pool.get_size() - self._pool.get_idle_size()
        return {"connections": PoolUse(in_use, self._pool.get_max_size(), self._waiting)}

    async def close(self) -> None:
        """See Database.close."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        try:
            async with asyncio.timeout(CLEANUP_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def begin(self, statement: str) -> Any:
        """Return a connection on which a transaction has begun.

        When that fails, nothing is lost yet, and it is tried once more on a new connection: a
        server that was restarted, or a network that went away, breaks all of the old ones.
        """
        connection = await self._acquire()
        try:
            await self._execute(connection, statement)
        except (
            OSError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # it was being closed at this very moment
        ):
            await self._pool.expire_connections()
            connection = await self._acquire()
            await self._execute(connection, statement)
        return connection

    async def _execute(self, connection: Any, begin: str) -> None:
        try:
            await connection.execute(begin, timeout=BEGIN_SECONDS)
        except Exception:
            await self._discard(connection)
            raise
        except BaseException:
            self.abandon(connection)
            raise

    async def _acquire(self) -> Any:
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=CONNECT_SECONDS)
        finally:
            self._waiting -= 1

    async def release(self, connection: Any) -> None:
        """Give a connection back whose transaction has ended."""
        await self._pool.release(connection)

    def abandon(self, connection: Any) -> None:
        """Roll back and give back a connection, behind the back of a task that may be cancelled."""
        task = asyncio.get_running_loop().create_task(self._clean_up(connection))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _clean_up(self, connection: Any) -> None:
        try:
            await connection.execute("ROLLBACK", timeout=CLEANUP_SECONDS)
        except Exception:  # whatever it is, this connection is not used again
            await self._discard(connection)
        else:
            await self._pool.release(connection)

    async def _discard(self, connection: Any) -> None:
        with suppress(asyncpg.InterfaceError):  # it has left the pool by itself
            connection.terminate()
        await self._pool.release(connection)


class _Block:
    """One transaction on one connection."""

    dialect: Final = "postgresql"

    def __init__(self, database: PostgresDatabase, begin: str) -> None:
        self._database = database
        self._begin = begin
        self._connection: Any = None
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        try:
            self._connection = await self._database.begin(self._begin)
        except Exception as error:
            raise _not_begun(error) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if error is not None or self._failure is not None:
            self._database.abandon(connection)
            if error is None and self._failure is not None:
                raise self._failure
            return
        try:
            await connection.execute("COMMIT")
        except BaseException as failure:
            self._database.abandon(connection)
            if isinstance(failure, Exception):
                raise _translated(failure) from failure
            raise
        await self._database.release(connection)

    async def fetch_one(self, sql: str, **params: Any) -> dict[str, Any] | None:
        """See Tx.fetch_one."""
        row = await self._run("fetchrow", sql, params)
        return None if row is None else dict(row)

    async def fetch_all(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        """See Tx.fetch_all."""
        return [dict(row) for row in await self._run("fetch", sql, params)]

    async def execute(self, sql: str, **params: Any) -> int:
        """See Tx.execute."""
        status = await self._run("execute", sql, params)
        count = status.rpartition(" ")[2]  # "UPDATE 3", "INSERT 0 1"
        return int(count) if count.isdigit() else 0

    async def _run(self, method: str, sql: str, params: dict[str, Any]) -> Any:
        if self._connection is None:
            raise RuntimeError("This transaction is over.")
        if self._failure is not None:
            raise self._failure
        sql, arguments = bind("postgresql", sql, params)
        try:
            return await getattr(self._connection, method)(sql, *arguments)
        except asyncio.CancelledError:
            self._failure = RuntimeError("A statement of this transaction was cancelled.")
            raise
        except Exception as error:
            self._failure = _translated(error)
            raise self._failure from error


async def connect(url: str, *, command_seconds: float = COMMAND_SECONDS) -> Any:
    """Open one connection of its own. Raises ConfigurationError or UnavailableError."""
    address = parse(url)
    try:
        return await address.connect(cached_statements=0, command_seconds=command_seconds)
    except Exception as error:
        raise explained(error) or _translated(error) from error


async def _cached_statements(address: PostgresAddress) -> int:
    """Return how many statements are kept prepared: none behind a pooler that shares sessions.

    A pooler tells the client a process number of its own making. Raises ConfigurationError or
    UnavailableError.
    """
    try:
        connection = await address.connect(cached_statements=0)
        try:
            is_direct = connection.get_server_pid() == await connection.fetchval(
                "SELECT pg_backend_pid()"
            )
        finally:
            await connection.close(timeout=CLEANUP_SECONDS)
    except Exception as error:
        raise explained(error) or _translated(error) from error
    if address.cached_statements is not None:
        return address.cached_statements
    return CACHED_STATEMENTS if is_direct else 0


async def _keep_as_it_is(connection: Any) -> None:
    """Spare the round trip by which asyncpg resets a session: ours never change theirs."""


def _not_begun(error: Exception) -> Exception:
    # A server that has become a standby says by an error of its own that it takes no writes.
    if isinstance(error, asyncpg.PostgresError):
        return _does_not_answer()
    return _translated(error)


def _translated(error: Exception) -> Exception:
    if isinstance(error, _CONFLICTS):
        return Conflict(str(error))
    if isinstance(error, _OVERTAKEN):
        return UnavailableError(
            "Another write was in the way.", code="database_unavailable", retry_after_seconds=1
        )
    if isinstance(error, _TROUBLES) or _is_lost(error):
        return _does_not_answer()
    return error


def _does_not_answer() -> UnavailableError:
    return UnavailableError("The database does not answer.", code="database_unavailable")


def _is_lost(error: Exception) -> bool:
    # asyncpg tells of a lost connection by the class that also tells of a wrong use of it.
    return (
        isinstance(error, asyncpg.InterfaceError)
        and not isinstance(error, ValueError)
        and "in progress" not in str(error)
    )
