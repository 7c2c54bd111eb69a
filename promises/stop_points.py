"""Named points of the program at which a check can kill it. The program knows nothing of them.

A point is the moment before or after a function: "after db.runs.insert_run". A server that is
forked for a check has the function of one point replaced, and kills itself when it gets there.
Nothing of this can be reached in an installed program.
"""

import inspect
import os
import signal
from collections.abc import Callable
from functools import wraps
from importlib import import_module
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
    "db.search_index.index_some",
    "db.sqlite_connections.Writer._begin",
    "db.sqlite_connections.Writer._commit",
    "db.threads.delete_thread",
    "db.threads.insert_thread",
    "db.threads.lock_thread",
    "db.threads.update_thread",
    "db.users.insert_user",
    "blobs.Blobs.delete",
    "blobs.Blobs.get",
    "blobs.Blobs.put_file",
    "blobs.durable.flush_folder",
    "blobs.durable.write",
    "engine.engine.Engine.cancel_run",
    "engine.engine.Engine.drop_run",
    "engine.engine.Engine.submit_run",
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


def stop_at(point: str, times: int) -> None:
    """Kill this process where it gets to a point for the `times`th time."""
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
