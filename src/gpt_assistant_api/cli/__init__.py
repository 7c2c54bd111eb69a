"""What can be typed: every command with its options, and nothing else.

What a command does lives in a module of its own that is imported when the command runs, so that
`--help` is quick and `ask` does not load a server.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from gpt_assistant_api.domain.errors import ConfigurationError, Refusal

commands = typer.Typer(
    name="gpt-assistant-api",
    help="A self-hosted backend for conversations with a GPT assistant.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
key_commands = typer.Typer(name="keys", help="Keys: what applications authenticate with.")
commands.add_typer(key_commands, no_args_is_help=True)


def main() -> None:
    """Run what was typed; what is wrong with a setting or a wish is one line, not a traceback."""
    try:
        commands()
    except ConfigurationError as error:
        raise SystemExit(_fail(str(error), 2)) from None
    except Refusal as refusal:
        raise SystemExit(_fail(f"{refusal.message} ({refusal.code})", 1)) from None


def _fail(message: str, status: int) -> int:
    typer.echo(f"Error: {message}", err=True)
    return status


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("gpt-assistant-api"))
        raise typer.Exit


@commands.callback()
def _common(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@commands.command("serve")
def _serve(
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="HOST")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="The port to listen on; 0 takes a free one.",
            min=0,
            max=65_535,
            show_default="PORT",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes; more than one needs REDIS_URL and PostgreSQL.", min=1)
    ] = 1,
) -> None:
    """Serve the API, and execute runs."""
    from gpt_assistant_api.cli import serve  # noqa: PLC0415 - see the module

    serve.serve(host, port, workers)


@commands.command("worker")
def _worker() -> None:
    """Execute runs without serving, beside servers with the same settings."""
    from gpt_assistant_api.cli import worker  # noqa: PLC0415 - see the module

    worker.work()


@commands.command("init-db")
def _init_db() -> None:
    """Create the schema of DATABASE_URL, or bring it to this version."""
    from gpt_assistant_api.cli import init_db  # noqa: PLC0415 - see the module

    init_db.init_db()


@commands.command("doctor")
def _doctor() -> None:
    """Check the settings and everything that they point to."""
    from gpt_assistant_api.cli import doctor  # noqa: PLC0415 - see the module

    raise typer.Exit(doctor.examine())


@commands.command("copy")
def _copy(
    source: Annotated[
        str | None, typer.Option("--from", help="The database to copy: sqlite:/// or postgresql://")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", help="An empty database, or one that this had begun.")
    ] = None,
    files_source: Annotated[
        str | None, typer.Option("--files-from", help="The store to copy: file:///, s3://, ...")
    ] = None,
    files_target: Annotated[
        str | None, typer.Option("--files-to", help="The store to copy the files to.")
    ] = None,
) -> None:
    """Move to another database, another store for files, or both, while no server runs."""
    from gpt_assistant_api.cli import copy  # noqa: PLC0415 - see the module

    raise typer.Exit(copy.copy(source, target, files_source, files_target))


@commands.command("backup")
def _backup(
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
) -> None:
    """Back up a SQLite installation, while its server runs or without one."""
    from gpt_assistant_api.cli import backup  # noqa: PLC0415 - see the module

    raise typer.Exit(backup.back_up(folder))


@commands.command("ask")
def _ask(
    prompt: Annotated[str, typer.Argument(help="May be left out where an image is sent.")] = "",
    image: Annotated[
        list[Path] | None,
        typer.Option(help="A picture to send along; can be repeated.", exists=True, dir_okay=False),
    ] = None,
    thread: Annotated[
        str | None, typer.Option(help="The thread to go on in.", show_default="a new one")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Whose thread it is.", show_default="me")] = None,
    url: Annotated[
        str | None, typer.Option(help="The server.", show_default="by HOST and PORT")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="A key or a user token.", envvar="GPT_ASSISTANT_API_KEY"),
    ] = None,
) -> None:
    """Ask a running server, and show the answer as it is written. Ctrl-C stops it."""
    from gpt_assistant_api.cli import ask  # noqa: PLC0415 - see the module

    raise typer.Exit(
        ask.ask(prompt, images=image or [], thread_id=thread, user_id=user, url=url, key=key)
    )


@key_commands.command("create")
def _create_key(name: Annotated[str, typer.Argument(help="What the key is for.")]) -> None:
    """Make a key and show it, this once."""
    from gpt_assistant_api.cli import keys  # noqa: PLC0415 - see the module

    keys.create(name)


@key_commands.command("list")
def _list_keys() -> None:
    """List all keys, without what makes them keys."""
    from gpt_assistant_api.cli import keys  # noqa: PLC0415 - see the module

    keys.show()


@key_commands.command("revoke")
def _revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id that `keys list` shows.")],
) -> None:
    """Revoke a key: within seconds it opens nothing."""
    from gpt_assistant_api.cli import keys  # noqa: PLC0415 - see the module

    keys.revoke(key_id)
