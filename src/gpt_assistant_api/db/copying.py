"""Rows as they are, whatever they mean: for moving everything from one database to the other.

A row is a dict by column name, read and written in pages by primary key. The tables are those of
`db/tables.py`, so a new one is moved without a word here; what full-text search needs, each
database makes by itself.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gpt_assistant_api.db.database import Tx
from gpt_assistant_api.db.tables import metadata

PAGE_ROWS: Final = 200
"""Small enough for memory where every row is a message of the greatest length."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, the names in it quoted for SQL; `counted` is the column that the database counts."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    counted: str | None

    @property
    def column_list(self) -> str:
        """The columns as they stand in a statement."""
        return _quoted(self.columns)

    @property
    def key_list(self) -> str:
        """The primary key as it stands in a statement."""
        return _quoted(self.key)

    def key_of(self, row: Row) -> list[Any]:
        """Return the values of a row's primary key."""
        return [row[name] for name in self.key]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


TABLES: Final = tuple(
    Table(
        name=table.name,
        columns=tuple(table.columns.keys()),
        key=tuple(column.name for column in table.primary_key),
        counted=next((column.name for column in table.columns if column.identity), None),
    )
    for table in metadata.sorted_tables
)
"""All tables, each behind those that it refers to."""


async def fetch_pages(tx: Tx, table: Table) -> AsyncIterator[list[Row]]:
    """Yield all rows in the order of the primary key: a message behind those that it refers to."""
    beyond = ""
    after: list[Any] = []
    while True:
        page = await tx.fetch_all(
            f"SELECT {table.column_list} FROM {table.name} {beyond}"
            f" ORDER BY {table.key_list} LIMIT :limit",
            after=after,
            limit=PAGE_ROWS,
        )
        if page:
            yield page
        if len(page) < PAGE_ROWS:
            return
        beyond = f"WHERE ({table.key_list}) > :after"
        after = table.key_of(page[-1])


async def fetch_namesakes(tx: Tx, table: Table, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that have the primary keys of these rows."""
    keys = {f"key{number}": table.key_of(row) for number, row in enumerate(rows)}
    listed = ", ".join(f":{name}" for name in keys)
    # SQLite compares several columns with a table only, PostgreSQL types a list only.
    values = f"VALUES {listed}" if tx.dialect == "sqlite" else listed
    return await tx.fetch_all(
        f"SELECT {table.column_list} FROM {table.name} WHERE ({table.key_list}) IN ({values})",
        **keys,
    )


async def insert_rows(tx: Tx, table: Table, rows: Sequence[Row]) -> None:
    """Insert a page of rows; those whose key is there already stay as they are."""
    values = {f"row{number}": list(row.values()) for number, row in enumerate(rows)}
    listed = ", ".join(f":{name}" for name in values)
    await tx.execute(
        f"INSERT INTO {table.name} ({table.column_list}) VALUES {listed} ON CONFLICT DO NOTHING",
        **values,
    )


async def count_rows(tx: Tx, table: Table) -> int:
    """Count a whole table."""
    row = await tx.fetch_one(f"SELECT COUNT(*) AS n FROM {table.name}")
    return int(row["n"]) if row else 0


async def fetch_counter(tx: Tx, table: Table) -> int:
    """Return the highest number that the database has given out, also to a row now deleted."""
    given = (
        "(SELECT seq FROM sqlite_sequence WHERE name = :name)"
        if tx.dialect == "sqlite"
        else "pg_sequence_last_value(CAST(pg_get_serial_sequence(:name, :counted) AS regclass))"
    )
    row = await tx.fetch_one(
        f'SELECT {given} AS given, (SELECT MAX("{table.counted}") FROM {table.name}) AS highest',
        name=table.name,
        counted=table.counted,
    )
    return max((value or 0 for value in row.values()), default=0) if row else 0


async def update_counter(tx: Tx, table: Table, given: int) -> None:
    """Have the database go on behind the number `given`, unless it is beyond that already."""
    given = max(given, await fetch_counter(tx, table))
    if not given:  # a sequence begins with 1
        return
    if tx.dialect == "sqlite":
        await tx.execute("DELETE FROM sqlite_sequence WHERE name = :name", name=table.name)
        await tx.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :given)",
            name=table.name,
            given=given,
        )
    else:
        await tx.fetch_one(
            "SELECT setval(CAST(pg_get_serial_sequence(:name, :counted) AS regclass), :given)",
            name=table.name,
            counted=table.counted,
            given=given,
        )
