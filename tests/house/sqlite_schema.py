"""Write the schema of a new SQLite database from what the migrations make: `make docs`."""

import sqlite3
import tempfile
from pathlib import Path

from gpt_assistant_api.db import migrate

_ALL = (
    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    " AND name NOT LIKE 'messages_fts\\_%' ESCAPE '\\' OR type = 'trigger' ORDER BY rowid"
)


def schema() -> str:
    """Return the statements that make the schema at once, as `db/migrate.py` reads them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        migrate.run_migrations_on_sqlite(path)
        connection = sqlite3.connect(path)
        statements = [sql for (sql,) in connection.execute(_ALL)]
        connection.close()
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{migrate.head()}')")
    return "".join(f"{statement};\n\n" for statement in statements)


if __name__ == "__main__":
    migrate.SQLITE_SCHEMA.write_text(schema(), "utf-8")
