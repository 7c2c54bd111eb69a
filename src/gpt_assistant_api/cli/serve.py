"""The server: what is checked before it listens, how it listens, and what it says then."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

import typer
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from gpt_assistant_api import db
from gpt_assistant_api.api.guard import is_loopback_host
from gpt_assistant_api.cli.addresses import url_of
from gpt_assistant_api.cli.application import make_app
from gpt_assistant_api.cli.listeners import bind
from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.services import keys
from gpt_assistant_api.settings import Settings, load_settings

_BACKLOG = 4096
_FINISH_SECONDS = 30
_START_SECONDS = 60.0
_NOT_STARTED = 2


def serve(host: str | None, port: int | None, workers: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError for what can be told at once."""
    settings = load_settings()
    host = host or settings.host
    _check_processes(settings, workers)
    credential = asyncio.run(_credential(settings))
    if credential is None and not is_loopback_host(host):
        raise ConfigurationError(
            "HOST reaches beyond this machine, and neither keys nor user tokens are configured:"
            " anyone could read everything. Make a key with `gpt-assistant-api keys create NAME`,"
            " or set JWT_SECRET or JWT_JWKS_URL, or keep HOST at 127.0.0.1."
        )
    for number in (signal.SIGTERM, signal.SIGINT):
        # The server raises the signal again when it has ended in order.
        signal.signal(number, lambda *_: sys.exit(0))
    with bind(host, settings.port if port is None else port) as listener:
        url = url_of(host, listener.getsockname()[1])
        _run(listener, workers, partial(_greet, url, credential))


def _check_processes(settings: Settings, workers: int) -> None:
    """Raise ConfigurationError where several processes could not work together."""
    if workers == 1:
        return
    if settings.redis_url is None:
        raise ConfigurationError(
            "REDIS_URL is needed for more than one process: the embedded run engine lives in one."
        )
    if settings.effective_database_url.startswith("sqlite:"):
        raise ConfigurationError(
            "DATABASE_URL must name a PostgreSQL database for more than one process: a SQLite file"
            " is served by one."
        )


async def _credential(settings: Settings) -> str | None:
    """Return what clients have to send, by a name for a shell variable; None in open mode."""
    url = settings.effective_database_url
    with db.lock_for_server(url):
        database = await db.open_database(url)
        try:
            if await keys.has_keys(database):
                return "KEY"
        finally:
            await database.close()
    return "TOKEN" if settings.has_tokens else None


def _run(listener: socket.socket, workers: int, announce: Callable[[], None]) -> None:
    config = uvicorn.Config(
        partial(make_app, workers),
        factory=True,
        workers=workers,
        loop="auto",  # uvloop, where there is one
        http="gpt_assistant_api.cli.connections:Connection",
        ws="none",
        lifespan="on",
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_FINISH_SECONDS,
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
    )
    if workers == 1:
        try:
            _Server(config, announce).run(sockets=[listener])
        except SystemExit as error:
            sys.exit(_NOT_STARTED if error.code == STARTUP_FAILURE else error.code)
    else:
        supervisor = _Servers(config, listener, announce)
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            sys.exit(_NOT_STARTED)


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


class _Servers(Multiprocess):
    """Says when all processes listen."""

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, announce: Callable[[], None]
    ) -> None:
        super().__init__(config, [listener])
        self._announce = announce

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(_START_SECONDS) for process in self.processes):
            self._announce()


def _greet(url: str, credential: str | None) -> None:
    header = f'-H "Authorization: Bearer ${credential}" ' if credential else ""
    # A user token says whose it is.
    user = "" if credential == "TOKEN" else '"user_id": "ada", '
    typer.echo(
        f"GPT Assistant API is ready at {url}\n"
        f"The API, to read and to try: {url}/docs\n"
        f"A first question:\n"
        f"  curl {url}/ask -H 'Content-Type: application/json' {header}"
        f'-d \'{{{user}"prompt": "Hello!"}}\'\n'
        "Ctrl-C stops the server."
    )
