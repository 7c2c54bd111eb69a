"""The schema of the database."""

import typer

from gpt_assistant_api.db import migrate
from gpt_assistant_api.settings import load_settings


def init_db() -> None:
    """Create or upgrade the schema of DATABASE_URL, and say what was done."""
    url = load_settings().effective_database_url
    state = migrate.check_schema(url)
    migrate.prepare_schema(url, upgrade_first=True)
    done = {"empty": "created", "behind": "upgraded"}.get(state, "already there")
    typer.echo(f"The schema {migrate.head()} is {done}.")
