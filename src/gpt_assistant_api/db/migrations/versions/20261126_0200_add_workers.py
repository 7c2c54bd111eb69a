"""Note who executes a run, and who is there to execute any."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_0200"
down_revision = "20261125_2200"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add both; runs that are being executed already are nobody's, and are begun again."""
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.Text, nullable=False),
        sa.Column("beats", Number, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="pk_workers"),
    )
    op.add_column("runs", sa.Column("worker_id", sa.Text))
