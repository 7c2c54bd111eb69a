"""Moving everything: all rows to another database, all files to another store, and the proof.

Each part can be interrupted and called again. Nobody may write to the source meanwhile; what is
written all the same shows in the comparison, which looks at both sides anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from gpt_assistant_api import db
from gpt_assistant_api.blobs import Blobs
from gpt_assistant_api.blobs.copying import copy_files, examine_files
from gpt_assistant_api.db import copying, files
from gpt_assistant_api.db.copying import TABLES, Row, Table
from gpt_assistant_api.db.search_index import index_messages
from gpt_assistant_api.domain.errors import ConfigurationError

Tell = Callable[[str, int], None]
"""Hears what is being done, and how many rows or files more of it are done."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table or a store holds; the checksum does not depend on an order."""

    count: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table on both sides."""

    name: str
    source: Summary
    target: Summary


@dataclass(frozen=True, slots=True)
class Examined:
    """What a store has of the files that have a record; `wrong` are lost or not what they were."""

    count: int
    size_bytes: int
    wrong: tuple[str, ...]


async def count_everything(database: db.Database) -> dict[str, int]:
    """Return how many rows each table has."""
    async with database.read() as tx:
        return {table.name: await copying.count_rows(tx, table) for table in TABLES}


async def copy_rows(source: db.Database, target: db.Database, tell: Tell) -> None:
    """Copy all rows with their ids; the target counts on behind the highest id of the source.

    Raises ConfigurationError where the target has a row that the source has not, before anything
    is written: what is left of an earlier call is completed, anybody else's data stays alone.
    """
    async with source.read() as tx:
        await _check_target(tx, target)
        for table in TABLES:
            async for page in copying.fetch_pages(tx, table):
                async with target.write() as target_tx:
                    await copying.insert_rows(target_tx, table, page)
                tell(table.name, len(page))
            if table.counted:
                given = await copying.fetch_counter(tx, table)
                async with target.write() as target_tx:
                    await copying.update_counter(target_tx, table, given)
    await index_messages(target)


async def _check_target(source_tx: db.Tx, target: db.Database) -> None:
    async with target.read() as tx:
        for table in TABLES:
            async for page in copying.fetch_pages(tx, table):
                known = await copying.fetch_namesakes(source_tx, table, page)
                if {_digest(row) for row in page} - {_digest(row) for row in known}:
                    raise ConfigurationError(
                        f"The target has data in `{table.name}` that is not the source's: nothing"
                        " was copied. Name an empty database."
                    )


async def compare_rows(source: db.Database, target: db.Database, tell: Tell) -> list[Comparison]:
    """Read both databases to their ends and return what each table holds."""
    return [
        Comparison(
            table.name,
            await _summarise(source, table, tell),
            await _summarise(target, table, tell),
        )
        for table in TABLES
    ]


async def _summarise(database: db.Database, table: Table, tell: Tell) -> Summary:
    count = total = 0
    async with database.read() as tx:
        async for page in copying.fetch_pages(tx, table):
            count += len(page)
            total += sum(map(_digest, page))
            tell(table.name, len(page))
    return Summary(count, f"{total % 2**256:064x}")


def _digest(row: Row) -> int:
    """Return a number that tells rows apart; a sum, unlike an XOR, sees one that is there twice."""
    values = [_plain(value) for value in row.values()]
    return int.from_bytes(sha256(repr(values).encode("utf-8", "surrogatepass")).digest())


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


async def copy_all_files(database: db.Database, source: Blobs, target: Blobs, tell: Tell) -> None:
    """Copy the bytes of every file that has a record; what is wrong with any, the proof shows."""
    async for page in files.iterate_files(database):
        await copy_files(source, target, page)
        tell("files", len(page))


async def examine_all_files(database: db.Database, blobs: Blobs, tell: Tell) -> Examined:
    """Read every file that has a record and compare it with the record."""
    count = size_bytes = 0
    wrong: list[str] = []
    async for page in files.iterate_files(database):
        states = await examine_files(blobs, page)
        for file, state in zip(page, states, strict=True):
            if state == "whole":
                count += 1
                size_bytes += file.size_bytes
            else:
                wrong.append(f"{file.file_id} is {state}")
        tell("files", len(page))
    return Examined(count, size_bytes, tuple(wrong))
