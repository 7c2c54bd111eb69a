"""Remember in which trace a run was asked for."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_2200"
down_revision = "20261125_2130"


def upgrade() -> None:
    """Add the column; runs that are there already belong to no trace."""
    op.add_column("runs", sa.Column("traceparent", sa.Text))
