"""A process that executes runs and serves nobody."""

import asyncio
import signal

import typer
from uvicorn.loops.auto import auto_loop_factory

from gpt_assistant_api.app import make_telemetry, open_runtime
from gpt_assistant_api.cli.garbage import leave_start_alone
from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.logs import configure_logging
from gpt_assistant_api.settings import Settings, load_settings


def work() -> None:
    """Execute runs until SIGTERM or SIGINT, which hand over those that are not finished."""
    settings = load_settings()
    if settings.redis_url is None:
        raise ConfigurationError(
            "REDIS_URL is needed for a worker: without it a server's runs never leave the server,"
            " which executes them itself."
        )
    if settings.effective_database_url.startswith("sqlite:"):
        raise ConfigurationError(
            "DATABASE_URL must name a PostgreSQL database for a worker: a SQLite file is used by"
            " its one server, which executes the runs itself."
        )
    configure_logging(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_work(settings))


async def _work(settings: Settings) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    async with open_runtime(settings, make_telemetry(settings)):
        leave_start_alone()
        typer.echo("Executing runs. Ctrl-C stops the worker.")
        await stop.wait()
