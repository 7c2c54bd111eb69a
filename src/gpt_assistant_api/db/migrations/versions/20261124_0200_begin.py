"""Begin: users, threads, messages, files, runs, keys, and search."""

import sqlalchemy as sa
from alembic import op

revision = "20261124_0200"
down_revision = None

Moment = sa.DateTime(timezone=True)
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create everything in an empty database."""
    _create_users_and_threads()
    _create_messages()
    _create_files()
    _create_runs()
    _create_keys()
    if op.get_bind().dialect.name == "sqlite":
        _create_search_on_sqlite()
    else:
        _create_search_on_postgresql()


def _reference(
    table: str, column: str, target: str, ondelete: str | None = "CASCADE"
) -> sa.Constraint:
    name = f"fk_{table}_{column}"
    return sa.ForeignKeyConstraint([column], [target], name=name, ondelete=ondelete)


def _create_index(
    table: str, *columns: str, name: str | None = None, where: str | None = None
) -> None:
    condition = sa.text(where) if where else None
    op.create_index(
        name or f"ix_{table}_{'_'.join(columns)}",
        table,
        list(columns),
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _create_users_and_threads() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
    )
    op.create_table(
        "threads",
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("head_id", Number),
        sa.Column("active_run_id", sa.Text),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("thread_id", name="pk_threads"),
        _reference("threads", "user_id", "users.user_id"),
    )
    _create_index("threads", "user_id", "updated_at", "thread_id")


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("message_id", Number, sa.Identity(), nullable=False),
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("image_id", sa.Text),
        sa.Column("reply_to", Number),
        sa.Column("parent_id", Number),
        sa.Column("run_id", sa.Text),
        sa.Column("path_tokens", Number, nullable=False, server_default="0"),
        sa.Column("message_time", Moment, nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_messages"),
        sa.CheckConstraint("role IN ('user', 'assistant')", name="ck_messages_role"),
        sa.CheckConstraint(
            "status IN ('in_progress', 'completed', 'incomplete', 'failed')",
            name="ck_messages_status",
        ),
        _reference("messages", "thread_id", "threads.thread_id"),
        _reference("messages", "reply_to", "messages.message_id", "SET NULL"),
        _reference("messages", "parent_id", "messages.message_id", None),
        sqlite_autoincrement=True,
    )
    _create_index("messages", "thread_id", "message_id")
    _create_index("messages", "thread_id", "parent_id", "role", "message_id")
    _create_index("messages", "user_id", "message_id")
    _create_index("messages", "parent_id")
    _create_index("messages", "reply_to")
    _create_index(
        "messages",
        "thread_id",
        "message_id",
        name="ix_messages_with_files",
        where="image_id IS NOT NULL",
    )


def _create_files() -> None:
    op.create_table(
        "files",
        sa.Column("file_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("size_bytes", Number, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("file_id", name="pk_files"),
        _reference("files", "user_id", "users.user_id"),
    )
    _create_index("files", "user_id", "file_id")
    _create_index("files", "created_at", name="ix_files_unclaimed", where="user_id IS NULL")
    op.create_table(
        "message_files",
        sa.Column("message_id", Number, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("file_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("message_id", "position", name="pk_message_files"),
        _reference("message_files", "message_id", "messages.message_id"),
        _reference("message_files", "file_id", "files.file_id"),
    )
    _create_index("message_files", "file_id")


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("message_id", Number, nullable=False),
        sa.Column("reply_to", Number, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("model", sa.Text),
        sa.Column("input_tokens", Number),
        sa.Column("output_tokens", Number),
        sa.Column("total_tokens", Number),
        sa.Column("error_code", sa.Text),
        sa.Column("error_detail", sa.Text),
        sa.Column("retry_after_seconds", sa.Integer),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("started_at", Moment),
        sa.Column("ended_at", Moment),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        sa.CheckConstraint(
            "status IN ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')",
            name="ck_runs_status",
        ),
        _reference("runs", "thread_id", "threads.thread_id"),
        _reference("runs", "message_id", "messages.message_id"),
    )
    _create_index("runs", "thread_id", "message_id")
    _create_index("runs", "message_id")
    _create_index("runs", "user_id", "created_at")
    _create_index(
        "runs",
        "user_id",
        "created_at",
        name="ix_runs_unfinished",
        where="status IN ('queued', 'in_progress')",
    )


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revoked_at", Moment),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_keys"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_idempotency_keys"),
        _reference("idempotency_keys", "run_id", "runs.run_id"),
    )
    _create_index("idempotency_keys", "created_at")
    _create_index("idempotency_keys", "run_id")


def _create_search_on_sqlite() -> None:
    """Index finished messages; `owner` is one token, so a match can be narrowed to one user.

    The index keeps no text of its own. It is told the old text when a message leaves, which must
    come before the new one enters, hence one trigger BEFORE the update and one AFTER.
    """
    owner = "'u' || lower(hex({row}.user_id))"
    leave = (
        "INSERT INTO messages_fts (messages_fts, rowid, owner, content)"
        f" VALUES ('delete', old.message_id, {owner.format(row='old')}, old.content)"
    )
    enter = (
        "INSERT INTO messages_fts (rowid, owner, content)"
        f" VALUES (new.message_id, {owner.format(row='new')}, new.content)"
    )
    op.execute(
        "CREATE VIEW finished_messages AS"
        f" SELECT message_id, {owner.format(row='messages')} AS owner, content FROM messages"
        " WHERE status <> 'in_progress'"
    )
    op.execute(
        "CREATE VIRTUAL TABLE messages_fts USING fts5 (owner, content,"
        " content = 'finished_messages', content_rowid = 'message_id',"
        ' tokenize = "unicode61 remove_diacritics 0")'
    )
    for name, event, row, statement in (
        ("inserted", "AFTER INSERT", "new", enter),
        ("deleted", "AFTER DELETE", "old", leave),
        ("left", "BEFORE UPDATE OF user_id, status, content", "old", leave),
        ("entered", "AFTER UPDATE OF user_id, status, content", "new", enter),
    ):
        op.execute(
            f"CREATE TRIGGER messages_fts_{name} {event} ON messages"
            f" WHEN {row}.status <> 'in_progress' BEGIN {statement}; END"
        )


def _create_search_on_postgresql() -> None:
    """Index finished messages, each up to a length that certainly fits a tsvector (1 MB)."""
    op.execute(
        "ALTER TABLE messages ADD COLUMN search tsvector GENERATED ALWAYS AS"
        " (CASE WHEN status <> 'in_progress'"
        " THEN to_tsvector('simple', left(content, 100000)) END) STORED"
    )
    op.execute("CREATE INDEX ix_messages_search ON messages USING gin (search)")
