"""The application as a server process makes it: `serve` itself stays without all that it needs."""

import gc
import logging
import sys

import typer
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from gpt_assistant_api.cli.garbage import leave_start_alone
from gpt_assistant_api.domain.errors import ConfigurationError, Refusal
from gpt_assistant_api.logs import configure_logging
from gpt_assistant_api.settings import load_settings


def make_app(processes: int = 1) -> ASGIApp:
    """Return the application for one server process, one of so many."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    # Nothing of what a start makes will ever be garbage; not looking saves a sixth of it.
    gc.disable()
    from gpt_assistant_api.app import create_app  # noqa: PLC0415 - so that it counts

    try:
        app = create_app(settings, processes=processes)
    except ConfigurationError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(STARTUP_FAILURE)
    return _starting(app)


def _starting(app: ASGIApp) -> ASGIApp:
    """Have a start that fails for a known reason say it in one line instead of a traceback."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        failed: list[Message] = []

        async def send_unless_failed(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
                return
            if message["type"] == "lifespan.startup.complete":
                leave_start_alone()
                gc.enable()
            await send(message)

        try:
            await app(scope, receive, send_unless_failed)
        except Exception as error:
            if not failed:
                raise
            if not isinstance(error, ConfigurationError | Refusal):
                await send(failed[0])
                raise
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            typer.echo(f"Error: {error}", err=True)
            await send({"type": "lifespan.startup.failed"})

    return serve
