"""The tables, on one page: what the migrations add up to, for whoever reads or compares them.

Nothing on the way of a request imports this module. Full-text search differs between the databases
and stands in the migrations alone: `messages_fts`, its triggers and `unindexed_messages` on SQLite,
`messages.search` on PostgreSQL.

A thread is deleted by one statement, whose cascades have an index for every reference they
follow. `parent_id` has no action of its own: a chain of messages would cascade one level deeper
with each message, while a check at the end of the statement finds the whole tree gone.

What was used refers to nothing: it outlives the runs that used it. A reference to the user would
also have the end of a run wait for whoever erases the user, who waits for that run's thread.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

Moment = sa.DateTime(timezone=True)
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit integer; SQLite counts up only what is declared INTEGER."""

users = sa.Table(
    "users",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("created_at", Moment, nullable=False),
)

threads = sa.Table(
    "threads",
    metadata,
    sa.Column("thread_id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("head_id", Number),
    sa.Column("active_run_id", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "user_id", "updated_at", "thread_id"),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("message_id", Number, sa.Identity(), primary_key=True),
    sa.Column("thread_id", sa.ForeignKey("threads.thread_id", ondelete="CASCADE"), nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("image_id", sa.Text),
    sa.Column("reply_to", sa.ForeignKey("messages.message_id", ondelete="SET NULL")),
    sa.Column("parent_id", sa.ForeignKey("messages.message_id")),
    sa.Column("run_id", sa.Text),
    sa.Column("path_tokens", Number, nullable=False, server_default="0"),
    sa.Column("message_time", Moment, nullable=False),
    sa.CheckConstraint("role IN ('user', 'assistant')", name="role"),
    sa.CheckConstraint(
        "status IN ('in_progress', 'completed', 'incomplete', 'failed')", name="status"
    ),
    sa.Index(None, "thread_id", "message_id"),
    sa.Index(None, "thread_id", "parent_id", "role", "message_id"),
    sa.Index(None, "user_id", "message_id"),
    sa.Index(None, "parent_id"),
    sa.Index(None, "reply_to"),
    sa.Index(
        "ix_messages_with_files",
        "thread_id",
        "message_id",
        sqlite_where=sa.text("image_id IS NOT NULL"),
        postgresql_where=sa.text("image_id IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("file_id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.ForeignKey("users.user_id", ondelete="CASCADE")),
    sa.Column("filename", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("size_bytes", Number, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "user_id", "file_id", "size_bytes"),
    sa.Index(
        "ix_files_unclaimed",
        "created_at",
        sqlite_where=sa.text("user_id IS NULL"),
        postgresql_where=sa.text("user_id IS NULL"),
    ),
)

message_files = sa.Table(
    "message_files",
    metadata,
    sa.Column(
        "message_id", sa.ForeignKey("messages.message_id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("file_id", sa.ForeignKey("files.file_id", ondelete="CASCADE"), nullable=False),
    sa.Index(None, "file_id"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("thread_id", sa.ForeignKey("threads.thread_id", ondelete="CASCADE"), nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column(
        "message_id", sa.ForeignKey("messages.message_id", ondelete="CASCADE"), nullable=False
    ),
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
    sa.Column("key_id", sa.Text),
    sa.Column("traceparent", sa.Text),
    sa.Column("worker_id", sa.Text),
    sa.CheckConstraint(
        "status IN ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')",
        name="status",
    ),
    sa.Index(None, "thread_id", "message_id"),
    sa.Index(None, "message_id"),
    sa.Index(None, "user_id", "created_at"),
    sa.Index(
        "ix_runs_unfinished",
        "user_id",
        "created_at",
        sqlite_where=sa.text("status IN ('queued', 'in_progress')"),
        postgresql_where=sa.text("status IN ('queued', 'in_progress')"),
    ),
    sa.Index(
        "ix_runs_unfinished_of_key",
        "key_id",
        sqlite_where=sa.text("status IN ('queued', 'in_progress')"),
        postgresql_where=sa.text("status IN ('queued', 'in_progress')"),
    ),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker_id", sa.Text, primary_key=True),
    sa.Column("beats", Number, nullable=False),
)

daily_usage = sa.Table(
    "daily_usage",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("runs", Number, nullable=False),
    sa.Column("input_tokens", Number, nullable=False),
    sa.Column("output_tokens", Number, nullable=False),
    sa.Column("total_tokens", Number, nullable=False),
)

daily_key_usage = sa.Table(
    "daily_key_usage",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True),
    sa.Column("total_tokens", Number, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("revoked_at", Moment),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("run_id", sa.ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "created_at"),
    sa.Index(None, "run_id"),
)
