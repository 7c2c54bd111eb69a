"""The real program on a real socket, for tests: in a thread of this process, or as a process."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from gpt_assistant_api.app import create_app
from gpt_assistant_api.settings import Settings

START_SECONDS = 20


def make_settings(folder: Path, **changes: Any) -> Settings:
    """Return the embedded default in a folder, with changes, whatever the environment says."""
    values: dict[str, Any] = {"data_dir": folder, "port": 0, **changes}
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        return Settings(_env_file=None, **values)


@dataclass(frozen=True)
class RunningServer:
    """Where a server listens."""

    url: str
    settings: Settings


@contextmanager
def running(settings: Settings) -> Iterator[RunningServer]:
    """Serve in a thread while the block lasts."""
    config = uvicorn.Config(
        create_app(settings), host="127.0.0.1", port=0, log_config=None, access_log=False,
        lifespan="on", timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            asyncio.run(server.serve())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=serve, name="server")
    thread.start()
    try:
        started = threading.Event()
        for _ in range(START_SECONDS * 100):
            if server.started or not thread.is_alive():
                break
            started.wait(0.01)
        assert server.started, f"the server did not start: {failures}"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield RunningServer(f"http://127.0.0.1:{port}", settings)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"


@asynccontextmanager
async def client_of(
    server: RunningServer, key: str | None = None
) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """Return a client of a running server."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        yield client
