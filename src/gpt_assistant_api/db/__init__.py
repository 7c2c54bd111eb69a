"""The database: SQLite or PostgreSQL behind one small interface, SQL as text.

What STYLE calls a query lives in one module per noun; what runs the queries is `open_database`.
"""

from gpt_assistant_api.db.database import Conflict, Database, PoolUse, Tx, open_database
from gpt_assistant_api.db.sqlite_file import lock_for_server

__all__ = ["Conflict", "Database", "PoolUse", "Tx", "lock_for_server", "open_database"]
