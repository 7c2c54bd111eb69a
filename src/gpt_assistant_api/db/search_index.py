"""The index of full-text search, which on SQLite is filled a moment after the messages are stored.

Entered with its message, an entry costs more than the message. PostgreSQL's index collects entries
by itself, and looks through what it has collected.
"""

from typing import Final

from gpt_assistant_api.db.database import Database, Tx

_MESSAGES: Final = 200
_BYTES: Final = 500_000
"""What is entered at a time; whoever writes something waits meanwhile."""


async def index_messages(database: Database) -> None:
    """Have search know every message that is finished by now."""
    if database.dialect != "sqlite":
        return
    async with database.read() as tx:
        is_left = bool(await tx.fetch_all("SELECT message_id FROM unindexed_messages LIMIT 1"))
    while is_left:
        async with database.write() as tx:
            is_left = await index_some(tx)


async def index_some(tx: Tx) -> bool:
    """Enter the newest messages that are missing in SQLite's index; tell whether some are left.

    Looked at from within: those who write would have finished others before the next transaction.
    """
    # The length of a blob stands before it, that of a text is counted.
    row = await tx.fetch_one(
        "SELECT MIN(message_id) AS first FROM (SELECT message_id, SUM(size)"
        " OVER (ORDER BY message_id DESC) - size AS newer FROM"
        " (SELECT message_id, LENGTH(CAST(content AS BLOB)) AS size"
        " FROM unindexed_messages JOIN messages USING (message_id)"
        " ORDER BY message_id DESC LIMIT :messages)) WHERE newer < :bytes",
        messages=_MESSAGES,
        bytes=_BYTES,
    )
    first = row["first"] if row else None
    if first is None:  # what may be noted is of no message any more
        await tx.execute("DELETE FROM unindexed_messages")
        return False
    await tx.execute(
        "INSERT INTO messages_fts (rowid, owner, content) SELECT message_id, 'u' ||"
        " lower(hex(user_id)), content FROM unindexed_messages JOIN messages USING (message_id)"
        " WHERE message_id >= :first",
        first=first,
    )
    await tx.execute("DELETE FROM unindexed_messages WHERE message_id >= :first", first=first)
    return bool(await tx.fetch_all("SELECT message_id FROM unindexed_messages LIMIT 1"))
