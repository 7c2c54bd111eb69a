"""Index finished messages for search later and together, on SQLite.

Entered with its message, an entry costs more than the message: every statement that follows writes
what is pending as a segment of the index of its own. PostgreSQL collects entries by itself.
"""

from alembic import op

revision = "20261126_1100"
down_revision = "20261126_0200"

OWNER = "'u' || lower(hex({row}.user_id))"
NEW = "INSERT OR IGNORE INTO unindexed_messages (message_id) VALUES (new.message_id)"
OLD = (
    "INSERT INTO messages_fts (messages_fts, rowid, owner, content)"
    f" SELECT 'delete', old.message_id, {OWNER.format(row='old')}, old.content"
    " WHERE NOT EXISTS (SELECT 1 FROM unindexed_messages WHERE message_id = old.message_id);"
    " DELETE FROM unindexed_messages WHERE message_id = old.message_id"
)


def upgrade() -> None:
    """Note what is to be indexed, and take out of the index only what is in it."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.execute("CREATE TABLE unindexed_messages (message_id INTEGER PRIMARY KEY)")
    # What the index has, and with which text: it keeps none of its own.
    op.execute("DROP VIEW finished_messages")
    op.execute(
        "CREATE VIEW finished_messages AS"
        f" SELECT message_id, {OWNER.format(row='messages')} AS owner, content FROM messages"
        " WHERE status <> 'in_progress' AND message_id NOT IN unindexed_messages"
    )
    for name, event, row, statements in (
        ("inserted", "AFTER INSERT", "new", NEW),
        ("deleted", "AFTER DELETE", "old", OLD),
        ("left", "BEFORE UPDATE OF user_id, status, content", "old", OLD),
        ("entered", "AFTER UPDATE OF user_id, status, content", "new", NEW),
    ):
        op.execute(f"DROP TRIGGER messages_fts_{name}")
        op.execute(
            f"CREATE TRIGGER messages_fts_{name} {event} ON messages"
            f" WHEN {row}.status <> 'in_progress' BEGIN {statements}; END"
        )
