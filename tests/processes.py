"""The real program as a process of its own, to be killed and started again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

import httpx2

PROGRAM = Path(sys.executable).with_name("gpt-assistant-api")
START_SECONDS = 60.0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class ProgramProcess:
    """One command of the program with its own folder and settings; what it says is in `log`."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self.log = folder / f"{'-'.join(arguments).replace('--', '')}.log"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._command = [str(PROGRAM), *arguments]
        self._environment = {**kept, "DATA_DIR": str(folder / "data"), **settings}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start it, whether or not anything comes of it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )

    @property
    def runs(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its number, once it has been started."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill it as a power cut of the process would: at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def terminate(self) -> int:
        """Ask it to stop, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(35)

    def close(self) -> None:
        """Leave nothing running."""
        if self.runs:
            self.kill()


class Started(Protocol):
    """A server that was started, by whatever means."""

    url: str
    log: Path

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""


async def wait_for_answer(server: Started) -> None:
    """Return once the server answers."""
    async with httpx2.AsyncClient(base_url=server.url) as client, asyncio.timeout(START_SECONDS):
        while True:
            assert server.runs, server.log.read_text()
            try:
                if (await client.get("/healthz")).status_code == 200:
                    return
            except httpx2.TransportError:
                await asyncio.sleep(0.02)


class ServerProcess(ProgramProcess):
    """A server at a port of its own."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(folder, "serve", "--port", str(port), *arguments, **settings)

    async def start(self) -> Self:
        """Start it and wait until it answers."""
        self.spawn()
        await self.answers()
        return self

    async def answers(self) -> None:
        """Wait until it answers."""
        await wait_for_answer(self)


@contextmanager
def server_process(folder: Path, **settings: str) -> Iterator[ServerProcess]:
    """Give a server that is not started yet, and end it after the block."""
    server = ServerProcess(folder, **settings)
    try:
        yield server
    finally:
        server.close()
