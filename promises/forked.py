"""The program's own commands, forked from a process that has imported them: there in no time.

A check that kills them again and again then spends its time on what may go wrong, and not on
importing libraries.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.processes import free_port, wait_for_answer

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        f"gpt_assistant_api.{module}"
        for module in ("app", "cli.serve", "cli.worker", "cli.connections")
    ]
    + [__name__]
)


class ForkedProgram:
    """One command of the program, which can be changed before it begins."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self.log = folder / f"{arguments[0]}.log"
        self._folder = folder
        self._arguments = arguments
        self._settings = settings
        self._process: ForkServerProcess | None = None

    def spawn(self, change: Callable[[], None] | None = None) -> None:
        """Start it, without waiting for anything; `change` is called in it first of all."""
        arguments = (self._folder, self.log, self._arguments, self._settings, change)
        self._process = _context.Process(target=_run, args=arguments)
        self._process.start()

    @property
    def runs(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.is_alive()

    async def was_killed(self, timeout_seconds: float) -> bool:
        """Wait for its end, and tell whether it was killed."""
        assert self._process is not None
        await asyncio.to_thread(self._process.join, timeout_seconds)
        return self._process.exitcode == -signal.SIGKILL

    def kill(self) -> None:
        """Kill it at once, unless it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.join(10)

    def terminate(self) -> int | None:
        """Ask it to stop, and return its exit code; None where it goes on."""
        assert self._process is not None
        self._process.terminate()
        self._process.join(35)
        return self._process.exitcode


class ForkedServer(ForkedProgram):
    """A server at a port of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(folder, "serve", "--port", str(port), **settings)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        await self.answers()

    async def answers(self) -> None:
        """Wait until it answers."""
        await wait_for_answer(self)


@contextmanager
def forked_server(folder: Path, **settings: str) -> Iterator[ForkedServer]:
    """Give a server that is not started yet, and end it after the block."""
    server = ForkedServer(folder, **settings)
    try:
        yield server
    finally:
        server.kill()


def _run(
    folder: Path,
    log: Path,
    arguments: tuple[str, ...],
    settings: dict[str, str],
    change: Callable[[], None] | None,
) -> None:
    """Be the program, in a process of its own."""
    from gpt_assistant_api.cli import main

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    os.environ.clear()
    os.environ |= {**kept, "DATA_DIR": str(folder / "data"), **settings}
    sys.argv = ["gpt-assistant-api", *arguments]
    if change is not None:
        change()
    main()
