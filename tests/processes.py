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
from typing import Self

import httpx2

START_SECONDS = 20.0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class ServerProcess:
    """One server with its own port, folder and settings; the log is in `log`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"server-{self.port}.log"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._environment = {**kept, "DATA_DIR": str(folder / "data"), **settings}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> Self:
        """Start it and wait until it answers."""
        command = [
            sys.executable, "-m", "uvicorn", "gpt_assistant_api.app:app", "--port", str(self.port),
            "--timeout-graceful-shutdown", "20",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        async with httpx2.AsyncClient(base_url=self.url) as client, asyncio.timeout(START_SECONDS):
            while True:
                assert self._process.poll() is None, self.log.read_text()
                try:
                    if (await client.get("/healthz")).status_code == 200:
                        return self
                except httpx2.TransportError:
                    await asyncio.sleep(0.02)

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
        if self._process is not None and self._process.poll() is None:
            self.kill()


@contextmanager
def server_process(folder: Path, **settings: str) -> Iterator[ServerProcess]:
    """Give a server that is not started yet, and end it after the block."""
    server = ServerProcess(folder, **settings)
    try:
        yield server
    finally:
        server.close()
