"""Ask a running server from a terminal: the answer on standard output, the rest beside it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress

from gpt_assistant_api.cli.addresses import url_of
from gpt_assistant_api.cli.client import (
    Client,
    ProblemError,
    StreamedEvent,
    UnreachableError,
    new_key,
)
from gpt_assistant_api.domain.keys import looks_like_key
from gpt_assistant_api.settings import load_settings

_USER = "me"
_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.25
# What a model writes must not steer the terminal.
_HARMLESS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\t"), ord("\n")})

_say = partial(typer.echo, err=True)


def ask(
    prompt: str,
    *,
    images: Sequence[Path],
    thread_id: str | None,
    user_id: str | None,
    url: str | None,
    key: str | None,
) -> int:
    """Ask, show the answer, and return the exit status: 0 for a whole answer."""
    url = url or _default_url()
    # A user token says whose it is.
    user_id = user_id or (_USER if key is None or looks_like_key(key) else None)
    question = {"prompt": prompt, "thread_id": thread_id, "user_id": user_id}
    try:
        return asyncio.run(_ask(Client(url, key), question, images))
    except ProblemError as problem:
        _say(f"Error: {problem}")
    except UnreachableError:
        _say(
            f"Error: no server answers at {url}. Start one with `gpt-assistant-api serve`, or name"
            " another by --url."
        )
    return 1


def _default_url() -> str:
    settings = load_settings()
    return url_of(settings.host, settings.port)


async def _ask(client: Client, question: dict[str, Any], images: Sequence[Path]) -> int:
    async with client:
        file_ids = await _upload(client, images, question["user_id"])
        asked = await client.ask({**question, "file_ids": file_ids}, new_key())
        run_id = asked["run"]["run_id"]
        answer = _Answer()
        try:
            run = await _follow(client, run_id, answer)
        except asyncio.CancelledError:
            with suppress(ProblemError, UnreachableError):  # it has just ended, or all is lost
                await client.cancel_run(run_id)
                _say("\nStopped. What was said so far is kept.")
            raise
        finally:
            _say(f"\nThread {asked['thread_id']}")
        return _status(run)


async def _upload(client: Client, images: Sequence[Path], user_id: str | None) -> list[str]:
    file_ids = []
    console = Console(stderr=True)
    is_shown = bool(images) and console.is_terminal
    with Progress(console=console, transient=True, disable=not is_shown) as progress:
        for path in images:
            with progress.open(path, "rb", description=f"Sending {path.name}") as file:
                file_ids.append(await client.upload_file(file, path.name, user_id))
    return file_ids


async def _follow(client: Client, run_id: str, answer: "_Answer") -> dict[str, Any]:
    """Show the answer as it comes and return the run as it ended, over any number of streams."""
    tries = 0
    while True:
        try:
            async for event in client.watch_run(run_id, answer.last_event_id):
                answer.take(event)
                tries = 0
            if answer.ended is None:
                run = await client.get_run(run_id)
                answer.ended = run if run["ended_at"] else None
        except UnreachableError:
            if tries == _TRIES:
                raise
        if answer.ended is not None:
            return answer.ended
        await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**tries)
        tries = min(tries + 1, _TRIES)


class _Answer:
    """Writes each character once, wherever a stream takes up again."""

    def __init__(self) -> None:
        self.last_event_id: str | None = None
        self.ended: dict[str, Any] | None = None
        self._written = 0

    def take(self, event: StreamedEvent) -> None:
        """Show what an event has that is new."""
        self.last_event_id = event.id
        match event.name:
            case "message.delta":
                self._write(event.data["text"], event.data["offset"])
            case "message.completed":
                self._write(event.data["message"]["content"], 0)
            case "run.restarted":
                if self._written:
                    _say("\nThe server was interrupted; the answer begins again:\n")
                self._written = 0
            case "run.completed" | "run.failed" | "run.cancelled":
                self.ended = event.data["run"]

    def _write(self, text: str, offset: int) -> None:
        if offset > self._written:
            return  # the complete message brings what is missing
        new = text[self._written - offset :]
        if new:
            typer.echo(new.translate(_HARMLESS), nl=False)
            self._written += len(new)


def _status(run: dict[str, Any]) -> int:
    if run["status"] == "completed":
        return 0
    error = run["error"]
    _say(
        f"The answer is {run['status']}"
        + (f": {error['detail']} ({error['code']})" if error else "")
    )
    return 1
