"""PostgreSQL by asyncpg: a pool, and transactions that never give a broken connection back."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from gpt_assistant_api.db.database import Conflict, check_within_time
from gpt_assistant_api.db.parameters import bind
from gpt_assistant_api.domain.errors import ConfigurationError, UnavailableError

try:
    import asyncpg
except ImportError:
    raise ConfigurationError(
        "DATABASE_URL is for PostgreSQL, which needs: pip install 'gpt-assistant-api[postgres]'."
    ) from None

CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 30.0
CLEANUP_SECONDS: Final = 5.0

_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

# A row that another probe is writing at this moment shows as much as one of our own.
_CHECK: Final = (
    "UPDATE alembic_version SET version_num = version_num WHERE version_num IN"
    " (SELECT version_num FROM alembic_version FOR UPDATE SKIP LOCKED)"
)

_MISCONFIGURED = (
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
_CONFLICTS = (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError)
_OVERTAKEN = (asyncpg.TransactionRollbackError, asyncpg.LockNotAvailableError)
_TROUBLES = (
    OSError,  # TimeoutError among them
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidTransactionStateError,  # after a failover to a server that only reads
    asyncpg.InternalClientError,
    *_MISCONFIGURED,
)


class PostgresDatabase:
    """A pool of connections, opened by `open`."""

    dialect: Final = "postgresql"

    def __init__(self, pool: "asyncpg.Pool") -> None:
        self._pool = pool
        self._leaving: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, url: str, *, max_connections: int) -> "PostgresDatabase":
        """Connect. Raises ConfigurationError or UnavailableError."""
        try:
            pool = await asyncpg.create_pool(
                min_size=1, max_size=max_connections, reset=_keep_as_it_is, **_options(url)
            )
        except Exception as error:
            raise _at_start(error) from error
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

    async def close(self) -> None:
        """See Database.close."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        try:
            async with asyncio.timeout(CLEANUP_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def acquire(self) -> Any:
        """Take a connection out of the pool, or a new one."""
        return await self._pool.acquire(timeout=CONNECT_SECONDS)

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
            connection = await self._database.acquire()
        except Exception as error:
            raise _translated(error) from error
        try:
            await connection.execute(self._begin)
        except BaseException as error:
            self._database.abandon(connection)
            if isinstance(error, Exception):
                raise _translated(error) from error
            raise
        self._connection = connection
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
    try:
        return await asyncpg.connect(**_options(url) | {"command_timeout": command_seconds})
    except Exception as error:
        raise _at_start(error) from error


def _options(url: str) -> dict[str, Any]:
    """Return what asyncpg takes; `?pgbouncer=true` is the same as `?statement_cache_size=0`."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    pooled = query.pop("pgbouncer", "").lower() in {"1", "true"}
    cached = query.pop("statement_cache_size", "0" if pooled else "200")
    if not cached.isdigit():
        raise ConfigurationError("statement_cache_size in DATABASE_URL must be a number.")
    return {
        "dsn": urlunsplit(parts._replace(query=urlencode(query))),
        "statement_cache_size": int(cached),
        "timeout": CONNECT_SECONDS,
        "command_timeout": COMMAND_SECONDS,
    }


async def _keep_as_it_is(connection: Any) -> None:
    """Spare the round trip by which asyncpg resets a session: ours never change theirs."""


def _at_start(error: Exception) -> Exception:
    if isinstance(error, _MISCONFIGURED):
        return ConfigurationError(
            f"PostgreSQL does not accept DATABASE_URL: {type(error).__name__}."
        )
    return _translated(error)


def _translated(error: Exception) -> Exception:
    if isinstance(error, _CONFLICTS):
        return Conflict(str(error))
    if isinstance(error, _OVERTAKEN):
        return UnavailableError(
            "Another write was in the way.", code="database_unavailable", retry_after_seconds=1
        )
    if isinstance(error, _TROUBLES) or _is_lost(error):
        return UnavailableError("The database does not answer.", code="database_unavailable")
    return error


def _is_lost(error: Exception) -> bool:
    # asyncpg tells of a lost connection by the class that also tells of a wrong use of it.
    return (
        isinstance(error, asyncpg.InterfaceError)
        and not isinstance(error, ValueError)
        and "in progress" not in str(error)
    )
