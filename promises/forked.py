"""The program's own `serve`, forked from a process that has imported it: there in no time.

A check that kills it again and again then spends its time on what may go wrong, and not on
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

import httpx2
from tests.processes import START_SECONDS, free_port

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [f"gpt_assistant_api.{module}" for module in ("app", "cli.serve", "cli.connections")]
    + [__name__]
)


class ForkedServer:
    """A server at a port of its own, which can be changed before it begins."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._settings = settings
        self._process: ForkServerProcess | None = None

    def spawn(self, change: Callable[[], None] | None = None) -> None:
        """Start it, without waiting for it to listen; `change` is called in it first of all."""
        arguments = (self._folder, self._port, self._settings, change)
        self._process = _context.Process(target=_serve, args=arguments)
        self._process.start()

    async def answers(self) -> None:
        """Wait until it answers."""
        assert self._process is not None
        async with httpx2.AsyncClient(base_url=self.url) as client, asyncio.timeout(START_SECONDS):
            while True:
                assert self._process.is_alive()
                try:
                    if (await client.get("/healthz")).status_code == 200:
                        return
                except httpx2.TransportError:
                    await asyncio.sleep(0.02)

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


@contextmanager
def forked_server(folder: Path, settings: dict[str, str]) -> Iterator[ForkedServer]:
    """Give a server that is not started yet, and end it after the block."""
    server = ForkedServer(folder, settings)
    try:
        yield server
    finally:
        server.kill()


def _serve(
    folder: Path, port: int, settings: dict[str, str], change: Callable[[], None] | None
) -> None:
    """Be the program, in a process of its own."""
    from gpt_assistant_api.cli import main

    log = os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    os.environ.clear()
    os.environ |= {**kept, "DATA_DIR": str(folder / "data"), **settings}
    sys.argv = ["gpt-assistant-api", "serve", "--port", str(port)]
    if change is not None:
        change()
    main()
