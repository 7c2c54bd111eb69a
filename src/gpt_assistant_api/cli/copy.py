"""Moving to another database, to another store for files, or both; and the report on it."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from functools import partial

import typer
from rich.console import Console
from rich.table import Table

from gpt_assistant_api import db
from gpt_assistant_api.blobs import open_blobs
from gpt_assistant_api.cli.progress import progress_bars
from gpt_assistant_api.db import migrate
from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.services import copying
from gpt_assistant_api.services.copying import Comparison, Tell
from gpt_assistant_api.settings import load_settings

Pair = tuple[str, str]

_CHECKSUM_CHARACTERS = 16
_LISTED_FILES = 20

_say = partial(typer.echo, err=True)


def copy(
    source: str | None, target: str | None, files_source: str | None, files_target: str | None
) -> int:
    """Copy what is named, compare, and return the exit status: 0 if both sides are the same."""
    databases = _pair("--from", source, "--to", target)
    stores = _pair("--files-from", files_source, "--files-to", files_target)
    if databases is None and stores is None:
        raise ConfigurationError(
            "Name what to copy by --from and --to, by --files-from and --files-to, or by all four."
        )
    return asyncio.run(_copy(databases, stores))


def _pair(
    source_option: str, source: str | None, target_option: str, target: str | None
) -> Pair | None:
    if source is None and target is None:
        return None
    if source is None or target is None:
        raise ConfigurationError(f"{source_option} and {target_option} go together.")
    if source == target:
        raise ConfigurationError(f"{source_option} and {target_option} are the same.")
    return source, target


async def _copy(databases: Pair | None, stores: Pair | None) -> int:
    async with AsyncExitStack() as stack:
        if databases:
            source = await _open(stack, "--from", databases[0])
            target = await _open(stack, "--to", databases[1], may_create=True)
        else:  # whose files they are, the database says that stays
            source = await _open(stack, "DATABASE_URL", load_settings().effective_database_url)
        totals = await copying.count_everything(source)
        wrong: list[str] = []
        if stores:  # bytes first: no record is ever without them
            wrong += await _copy_files(source, stores, totals["files"])
        if databases:
            wrong += await _copy_rows(source, target, totals)
    if wrong:
        _say(f"Error: not everything is the same on both sides: {', '.join(wrong)}.")
    return 1 if wrong else 0


async def _open(
    stack: AsyncExitStack, option: str, url: str, *, may_create: bool = False
) -> db.Database:
    """Open a database that no server uses until the end; a new schema is made only in an empty one.

    Messages name the option in place of the setting.
    """
    with _naming("DATABASE_URL", option):
        is_empty = await asyncio.to_thread(migrate.check_schema, url) == "empty"
        if is_empty and not may_create:
            raise ConfigurationError("DATABASE_URL names no database of this program.")
        stack.enter_context(db.lock_for_server(url))
        database = await db.open_database(url, migrate=is_empty)
    stack.push_async_callback(database.close)
    return database


@contextmanager
def _naming(setting: str, option: str) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace(setting, option)) from None


async def _copy_rows(
    source: db.Database, target: db.Database, totals: Mapping[str, int]
) -> list[str]:
    with _bars("Copying", totals) as tell:
        await copying.copy_rows(source, target, tell)
    with _bars("Comparing", {name: 2 * total for name, total in totals.items()}) as tell:
        compared = await copying.compare_rows(source, target, tell)
    _show(compared)
    return [f"table {found.name}" for found in compared if found.source != found.target]


async def _copy_files(source: db.Database, stores: Pair, total: int) -> list[str]:
    with _naming("FILES_URL", "--files-from"):
        old = open_blobs(stores[0])
    with _naming("FILES_URL", "--files-to"):
        new = open_blobs(stores[1])
    with _bars("Copying the bytes of", {"files": total}) as tell:
        await copying.copy_all_files(source, old, new, tell)
    wrong = []
    table = Table("Store", "Files", "Bytes", "Not as recorded")
    for option, blobs in (("--files-from", old), ("--files-to", new)):
        with _bars(f"Reading {option}:", {"files": total}) as tell:
            found = await copying.examine_all_files(source, blobs, tell)
        table.add_row(option, str(found.count), str(found.size_bytes), str(len(found.wrong)))
        for line in found.wrong[:_LISTED_FILES]:
            _say(f"{option}: {line}")
        if found.wrong:
            wrong.append(option)
    Console().print(table)
    return wrong


@contextmanager
def _bars(verb: str, totals: Mapping[str, int]) -> Iterator[Tell]:
    with progress_bars() as progress:
        tasks = {
            name: progress.add_task(f"{verb} {name}", total=total) for name, total in totals.items()
        }
        yield lambda name, count: progress.advance(tasks[name], count)


def _show(compared: list[Comparison]) -> None:
    table = Table("Table", "Rows in --from", "Rows in --to", "Checksums", "")
    for found in compared:
        sums = dict.fromkeys(
            side.checksum[:_CHECKSUM_CHARACTERS] for side in (found.source, found.target)
        )
        table.add_row(
            found.name,
            str(found.source.count),
            str(found.target.count),
            " ".join(sums),
            "same" if found.source == found.target else "DIFFERENT",
        )
    Console().print(table)
