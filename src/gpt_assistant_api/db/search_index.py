"""The index of full-text search, which on SQLite is filled a moment after the messages are stored.

Entered with its message, an entry costs more than the message. PostgreSQL's index collects entries
by itself, and looks through what it has collected.
"""

from typing import Final

from gpt_assistant_api.db.database import Database, Tx

_MESSAGES: Final = 200
_CHARACTERS: Final = 500_000
"""What is entered at a time; whoever writes something waits meanwhile."""


async def index_messages(database: Database) -> None:
    """Have search know every finished message."""
    if database.dialect != "sqlite":
        return
    while True:
        async with database.read() as tx:
            if not await tx.fetch_all("SELECT message_id FROM unindexed_messages LIMIT 1"):
                return
        async with database.write() as tx:
            await index_some(tx)


async def index_some(tx: Tx) -> None:
    """Enter some of the messages that are missing in SQLite's index, the newest of them first."""
    row = await tx.fetch_one(
        "SELECT MIN(message_id) AS first FROM (SELECT message_id, SUM(LENGTH(content))"
        " OVER (ORDER BY message_id DESC) - LENGTH(content) AS characters FROM"
        " (SELECT message_id, content FROM unindexed_messages JOIN messages USING (message_id)"
        " ORDER BY message_id DESC LIMIT :messages)) WHERE characters < :characters",
        messages=_MESSAGES,
        characters=_CHARACTERS,
    )
    assert row is not None, "an aggregate gives a row"
    await tx.execute(
        "INSERT INTO messages_fts (rowid, owner, content) SELECT message_id, 'u' ||"
        " lower(hex(user_id)), content FROM unindexed_messages JOIN messages USING (message_id)"
        " WHERE message_id >= :first",
        first=row["first"],
    )
    await tx.execute(
        "DELETE FROM unindexed_messages WHERE message_id >= :first", first=row["first"]
    )
