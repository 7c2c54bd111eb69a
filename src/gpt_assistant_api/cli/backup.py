"""A backup of the embedded default, beside a running server or without one."""

import asyncio
import shutil
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import typer

from gpt_assistant_api.blobs import durable, open_blobs
from gpt_assistant_api.cli.progress import progress_bars
from gpt_assistant_api.db import migrate
from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.services import backups
from gpt_assistant_api.services.backups import BackedUp
from gpt_assistant_api.settings import Settings, load_settings

_LINK_SECRET = "link_secret"  # noqa: S105 - the name of a file

_say = partial(typer.echo, err=True)


def back_up(folder: Path) -> int:
    """Make a backup that is there whole or not at all; return 0 if nothing in it is damaged."""
    settings = load_settings()
    folder = folder.absolute()
    _check(settings, folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that it can be renamed, and open to its owner alone: it is secret.
        unfinished = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            result = _fill(settings, unfinished)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        durable.flush_folder(folder.parent)
    except OSError as error:
        raise ConfigurationError(
            f"The backup cannot be written to its folder: {error.strerror}."
        ) from None
    return _report(result, folder)


def _check(settings: Settings, folder: Path) -> None:
    url = settings.effective_database_url
    if not url.startswith("sqlite:"):
        raise ConfigurationError(
            "DATABASE_URL is not a SQLite file: back up PostgreSQL by `pg_dump`, and the files by"
            " the means of their store. docs/operating/backup.md says more."
        )
    if migrate.check_schema(url) == "empty":
        raise ConfigurationError("There is no database in DATABASE_URL yet.")
    if folder.exists():
        raise ConfigurationError("The folder for the backup exists already: name a new one.")


def _fill(settings: Settings, folder: Path) -> BackedUp:
    blobs = open_blobs(settings.effective_files_url)
    target = open_blobs((folder / "files").as_uri())
    with progress_bars() as progress:
        tasks = {name: progress.add_task(name, total=None) for name in ("database", "files")}

        def tell(name: str, done: int, total: int | None) -> None:
            progress.update(tasks[name], completed=done, total=total)

        result = asyncio.run(
            backups.back_up(settings.effective_database_url, blobs, folder, target, tell)
        )
    secret = settings.data_dir / _LINK_SECRET
    if settings.link_secret is None and secret.exists():
        with secret.open("rb") as file:
            durable.write(folder / _LINK_SECRET, file)
        (folder / _LINK_SECRET).chmod(0o600)
    return result


def _report(result: BackedUp, folder: Path) -> int:
    typer.echo(f"The database and {result.files} files are in {folder}")
    for file_id in result.deleted_since:
        _say(f"{file_id} was deleted while the backup was made: its bytes are not in it.")
    for line in result.wrong:
        _say(f"Error: {line} in FILES_URL, and so it is in the backup.")
    return 1 if result.wrong else 0
