"""The file behind a SQLite URL: where it is, how it is opened, who may serve it."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from gpt_assistant_api.domain.errors import ConfigurationError

BUSY_SECONDS = 5.0
_PREFIX = "sqlite:///"


def sqlite_path(url: str) -> Path:
    """Return the file that `sqlite:///relative` or `sqlite:////absolute` names."""
    name = url.removeprefix(_PREFIX)
    if name == url or name in {"", ":memory:"}:
        raise ConfigurationError("DATABASE_URL must name a file, such as sqlite:///data/app.db.")
    return Path(name).absolute()


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open a connection that leaves transactions to us and may be handed between threads.

    Without `create` a file that is gone stays gone: an empty database in its place would look
    like a loss of everything. Raises sqlite3.Error.
    """
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={'rwc' if create else 'rw'}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        detect_types=sqlite3.PARSE_DECLTYPES,
        cached_statements=512,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def lock_for_server(url: str) -> Iterator[None]:
    """Be the one server on a SQLite file; commands beside it do not take this lock.

    The operating system gives it back when the process dies, however it dies. Raises
    ConfigurationError when another server has it. PostgreSQL takes any number of servers.
    """
    if not url.startswith("sqlite:"):
        yield
        return
    path = sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = Path(f"{path}.lock").open("ab")  # noqa: SIM115 - closed below
    except OSError as error:
        raise ConfigurationError(
            f"The folder of the SQLite file in DATABASE_URL cannot be written: {error.strerror}."
        ) from None
    with file:
        if not _lock(file):
            raise ConfigurationError(
                "Another server is running on the SQLite file in DATABASE_URL. Stop it first, or"
                " use PostgreSQL for several servers."
            )
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class SameFile:
    """Whether the file that was opened is still the one that its path names.

    SQLite keeps writing to a file that was deleted under it; what is written there is lost.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._look()

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once per commit, without a Path's detour
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def __bool__(self) -> bool:
        return self._look() == self._identity


def _text_of(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone cannot be stored")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")


def _moment_of(text: bytes) -> datetime:
    return datetime.fromisoformat(text.decode())


# Of one width, so that the order of the texts is the order of the moments.
sqlite3.register_adapter(datetime, _text_of)
sqlite3.register_converter("DATETIME", _moment_of)
