"""When a process that executes runs looks after what nobody asks for."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog

from gpt_assistant_api.db import search_index
from gpt_assistant_api.domain.errors import Refusal, UnavailableError
from gpt_assistant_api.runtime import Runtime
from gpt_assistant_api.services import upkeep
from gpt_assistant_api.services.workers import LOOKS, Worker

_LOOK_FOR_RUNS_SECONDS = 10.0
_LOOK_SECONDS = 4.0
_HAND_OVER_TIME = timedelta(seconds=2)
_CLEAN_UP_SECONDS = 3_600.0
_INDEX_SECONDS = 1.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def looking_after(
    runtime: Runtime, worker: Worker, lease_seconds: float
) -> AsyncGenerator[None, None]:
    """Take up what was interrupted, and go on looking after things now and then."""
    resumed = await upkeep.resume_runs(runtime.database, runtime.engine)
    if resumed:
        log.info("runs resumed", count=resumed)
    tasks = [
        asyncio.create_task(_repeat(_LOOK_FOR_RUNS_SECONDS, lambda: _look_for_runs(runtime))),
        asyncio.create_task(
            _repeat(lease_seconds / LOOKS, lambda: _look_after_workers(runtime, worker))
        ),
        asyncio.create_task(
            _repeat(_INDEX_SECONDS, lambda: search_index.index_messages(runtime.database))
        ),
        asyncio.create_task(
            _repeat(
                _CLEAN_UP_SECONDS,
                lambda: upkeep.remove_leftovers(runtime.database, runtime.blobs),
            )
        ),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _look_for_runs(runtime: Runtime) -> None:
    await upkeep.resume_runs(runtime.database, runtime.engine, older_than=_HAND_OVER_TIME)


async def _look_after_workers(runtime: Runtime, worker: Worker) -> None:
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            anybody_died = await worker.look()
    except TimeoutError:
        raise UnavailableError(
            "The database does not answer.", code="database_unavailable"
        ) from None
    if anybody_died:
        await upkeep.resume_runs(runtime.database, runtime.engine)


async def _repeat(seconds: float, action: Callable[[], Any]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await action()
        except Refusal as refusal:
            log.warning("upkeep failed", code=refusal.code)
        except Exception:  # the next time may go well, and without it runs would be forgotten
            log.exception("upkeep crashed")
