"""Make, list and revoke keys."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from gpt_assistant_api import db
from gpt_assistant_api.domain.keys import ApiKey
from gpt_assistant_api.services import keys
from gpt_assistant_api.settings import load_settings

Result = TypeVar("Result")


def create(name: str) -> None:
    """Make a key: the secret alone goes to standard output, what there is to say elsewhere."""

    async def make(database: db.Database) -> tuple[ApiKey, str, bool]:
        is_first = not await keys.has_keys(database)
        return *await keys.create_key(database, name), is_first

    key, secret, is_first = _with_database(make)
    typer.echo(f"The key {key.key_id}, which is shown this once:", err=True)
    typer.echo(secret)
    typer.echo("Clients send it as: Authorization: Bearer <key>", err=True)
    if is_first and not load_settings().has_tokens:
        typer.echo(
            "It is the first key. A server that is running is in open mode and must be started"
            " again; from then on it answers to keys alone.",
            err=True,
        )


def show() -> None:
    """List all keys."""
    # An id that is cut is of no use: `keys revoke` wants it whole.
    table = Table(
        Column("Key", no_wrap=True, min_width=36),
        "Name",
        "Begins with",
        "Created (UTC)",
        "Revoked (UTC)",
    )
    for key in _with_database(keys.list_keys):
        table.add_row(
            key.key_id,
            Text(key.name),
            f"{key.prefix}…",
            _moment(key.created_at),
            _moment(key.revoked_at),
        )
    console = Console()
    if table.row_count:
        console.print(table)
    else:
        typer.echo("There are no keys. Make one with `gpt-assistant-api keys create NAME`.")


def revoke(key_id: str) -> None:
    """Revoke a key. Raises NotFoundError."""
    _with_database(lambda database: keys.revoke_key(database, key_id))
    typer.echo(f"The key {key_id} is revoked: within seconds it opens nothing.")


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else ""


def _with_database(use: Callable[[db.Database], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        database = await db.open_database(load_settings().effective_database_url)
        try:
            return await use(database)
        finally:
            await database.close()

    return asyncio.run(run())
