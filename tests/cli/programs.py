"""The installed program as processes: commands that end, and servers that are told to."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpt_assistant_api.settings import Settings

PROGRAM = Path(sys.executable).with_name("gpt-assistant-api")
SECONDS = 30
LIFE_SECONDS = 300


def environment(**settings: str) -> dict[str, str]:
    """Return this environment with these settings and no others."""
    ours = {*Settings.model_fields, "secrets_dir", "gpt_assistant_api_key"}
    clean = {name: value for name, value in os.environ.items() if name.lower() not in ours}
    return clean | {"COLUMNS": "200", "NO_COLOR": "1"} | settings


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    out: str
    err: str


def run(folder: Path, *arguments: str, **settings: str) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        [PROGRAM, *arguments], cwd=folder, env=environment(**settings), text=True,
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(folder: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command while the block lasts; its standard error goes to a file `err`."""
    with (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [PROGRAM, *arguments], cwd=folder, env=environment(**settings), text=True,
            stdout=subprocess.PIPE, stderr=err,
        )  # fmt: skip
    watchdog = threading.Timer(LIFE_SECONDS, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        watchdog.cancel()
        assert process.stdout is not None
        process.stdout.close()


@dataclass(frozen=True)
class Server:
    """A running server, and what it has said."""

    process: subprocess.Popen[str]
    folder: Path
    url: str
    curl: str

    def stop(self) -> int:
        """Tell it to stop, as a machine that shuts down does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Iterator[Server]:
    """Serve at a free port while the block lasts."""
    with started(folder, "serve", "--port", "0", *arguments, **settings) as process:
        said = [line_of(process) for _ in range(5)]
        curl = next(line.strip() for line in said if line.strip().startswith("curl"))
        yield Server(process, folder, curl.split()[1].removesuffix("/ask"), curl)


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the next line that the process says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the program ended with {process.wait()}"
    return line
