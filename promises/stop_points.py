"""Named points of the program at which a check can kill it. The program knows nothing of them.

A point is the moment before or after a function: "after db.runs.insert_run". A server is forked
from a process that has imported the program, has the function of one point replaced, and kills
itself when it gets there. Nothing of this can be reached in an installed program.
"""

import asyncio
import inspect
import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

PACKAGE = "gpt_assistant_api"
FUNCTIONS = (
    "db.files.attach_files",
    "db.files.claim_file",
    "db.files.delete_unused",
    "db.files.insert_file",
    "db.idempotency.fetch_request",
    "db.idempotency.insert_request",
    "db.messages.end_answer",
    "db.messages.fetch_history",
    "db.messages.insert_message",
    "db.messages.with_relations",
    "db.runs.cancel_run",
    "db.runs.claim_run",
    "db.runs.end_run",
    "db.runs.fetch_run",
    "db.runs.hand_on_thread",
    "db.runs.insert_run",
    "db.sqlite_connections.Writer._begin",
    "db.sqlite_connections.Writer._commit",
    "db.threads.delete_thread",
    "db.threads.insert_thread",
    "db.threads.lock_thread",
    "db.threads.update_thread",
    "db.users.insert_user",
    "blobs.Blobs.delete",
    "blobs.Blobs.get",
    "blobs.Blobs.put",
    "blobs.durable.flush_folder",
    "blobs.durable.write",
    "engine.engine.Engine.cancel_run",
    "engine.engine.Engine.drop_run",
    "engine.engine.Engine.submit_run",
    "engine.log.EventLog._flush",
    "engine.log.EventLog.publish",
    "engine.log.EventLog.release",
    "images.accept_image",
    "services.answers._Attempt._announce",
    "services.answers._Attempt._end",
    "services.answers._Attempt._speak",
    "services.answers._Attempt._tell_end",
    "services.asks.ask",
    "services.asks.regenerate",
    "services.files.upload_file",
    "services.runs.cancel_run",
    "services.threads.delete_thread",
    "services.upkeep.resume_runs",
)
POINTS = [f"{moment} {name}" for name in FUNCTIONS for moment in ("before", "after")]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([f"{PACKAGE}.app", f"{PACKAGE}.cli.connections", __name__])


class StoppingServer:
    """A server that dies at a point, when it gets there for the `times`th time; None: never."""

    def __init__(self, folder: Path, port: int, settings: dict[str, str]) -> None:
        self._arguments = (folder, port, settings)
        self._process: ForkServerProcess | None = None

    def start(self, point: str | None = None, times: int = 1) -> None:
        """Start it, without waiting for it to listen."""
        self._process = _context.Process(target=_serve, args=(*self._arguments, point, times))
        self._process.start()

    async def died(self, timeout_seconds: float) -> bool:
        """Tell whether it has got to its point, waiting for it."""
        assert self._process is not None
        await asyncio.to_thread(self._process.join, timeout_seconds)
        return self._process.exitcode == -signal.SIGKILL

    def close(self) -> None:
        """Leave nothing running."""
        if self._process is not None:
            self._process.kill()
            self._process.join(10)


def _serve(
    folder: Path, port: int, settings: dict[str, str], point: str | None, times: int
) -> None:
    """Be the server, in a process of its own."""
    import uvicorn

    log = os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    os.environ |= {"DATA_DIR": str(folder / "data"), **settings}
    if point is not None:
        _stop_at(point, times)
    uvicorn.run(
        f"{PACKAGE}.cli.application:make_app", factory=True, port=port, ws="none", log_config=None,
        http=f"{PACKAGE}.cli.connections:Connection", access_log=False, lifespan="on",
    )  # fmt: skip


def _stop_at(point: str, times: int) -> None:
    """Replace the function of a point by one that kills this process there."""
    moment, _, name = point.partition(" ")
    owner, attribute = _owner_of(name)
    function = getattr(owner, attribute)
    left = times

    def reach(passed: str) -> None:
        nonlocal left
        if passed == moment:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    @wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        reach("before")
        result = await function(*args, **kwargs)
        reach("after")
        return result

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        reach("before")
        result = function(*args, **kwargs)
        reach("after")
        return result

    setattr(owner, attribute, awaited if inspect.iscoroutinefunction(function) else called)


def _owner_of(name: str) -> tuple[Any, str]:
    """Return the module or class that a function is looked up in, and its name there."""
    *path, attribute = name.split(".")
    classes = [part for part in path if part.lstrip("_")[0].isupper()]
    owner: Any = import_module(".".join([PACKAGE, *path[: len(path) - len(classes)]]))
    for part in classes:
        owner = getattr(owner, part)
    function: Callable[..., Any] = getattr(owner, attribute)
    assert callable(function)
    return owner, attribute
