"""Count what each user and each key uses a day, and note the key that a run was asked for with."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_2130"
down_revision = "20261124_0200"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the counts, filled from the runs that there are."""
    _create_counts()
    _fill_counts()
    op.add_column("runs", sa.Column("key_id", sa.Text))
    unfinished = sa.text("status IN ('queued', 'in_progress')")
    op.create_index(
        "ix_runs_unfinished_of_key",
        "runs",
        ["key_id"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    # The wider one serves whom the narrow one served, and adds up sizes without the table.
    op.create_index(
        "ix_files_user_id_file_id_size_bytes", "files", ["user_id", "file_id", "size_bytes"]
    )
    op.drop_index("ix_files_user_id_file_id", "files")


def _create_counts() -> None:
    op.create_table(
        "daily_usage",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("runs", Number, nullable=False),
        sa.Column("input_tokens", Number, nullable=False),
        sa.Column("output_tokens", Number, nullable=False),
        sa.Column("total_tokens", Number, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "day", name="pk_daily_usage"),
    )
    op.create_table(
        "daily_key_usage",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("total_tokens", Number, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "day", "part", name="pk_daily_key_usage"),
    )


def _fill_counts() -> None:
    day = {
        "sqlite": "substr(ended_at, 1, 10)",
        "postgresql": "to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    }[op.get_bind().dialect.name]
    op.execute(
        "INSERT INTO daily_usage (user_id, day, runs, input_tokens, output_tokens, total_tokens)"
        f" SELECT user_id, {day}, COUNT(*), COALESCE(SUM(input_tokens), 0),"
        " COALESCE(SUM(output_tokens), 0), COALESCE(SUM(total_tokens), 0)"
        f" FROM runs WHERE ended_at IS NOT NULL GROUP BY user_id, {day}"
    )
