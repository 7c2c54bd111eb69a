"""Runs as jobs: handed over under their id, executed by any worker, cancelled from anywhere.

The library is pydocket: `memory://` inside this process, or Redis for many. A job is an id and
nothing else. Execution is at least once; the attempt in the database makes it harmless.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from docket import Docket, Retry, Worker
from redis.exceptions import RedisError

from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.events import Event, MessageCompleted, RunEnded
from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import Run
from gpt_assistant_api.engine.address import explained, give_up_the_dead, reason
from gpt_assistant_api.engine.log import EventLog

_JOB = "execute_run"
_AGAIN_AFTER = timedelta(seconds=1)
_CANCEL_SECONDS = 2.0
_STORE_SECONDS = 2.0

TakeCancelled = Callable[[Run], Awaitable[tuple[Run, Message] | None]]

log = structlog.get_logger(__name__)


class Engine:
    """The queue of runs and their event log. `events` is for publishing and watching.

    `redis_pool`: the connections to Redis, for whoever else keeps something there.
    """

    def __init__(self, docket: Docket, on_end: Callable[[Run], None] | None = None) -> None:
        self._docket = docket
        self._on_end = on_end
        self.redis_pool: Any = None
        self.events = EventLog(docket)
        self._executing: dict[str, asyncio.Task[None]] = {}
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def embedded(self) -> bool:
        """Whether the engine lives and dies with this process."""
        return self._docket.url.startswith("memory://")

    @property
    def executing(self) -> int:
        """How many runs this process executes now."""
        return len(self._executing)

    async def submit_run(self, run_id: str) -> bool:
        """Have a run executed somewhere. A run that is queued or executing already stays as it is.

        False when the engine's store does not answer: the run is stored, and the regular look for
        runs without a job finds it.
        """
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._docket.add(_JOB, key=run_id)(run_id)
        except (RedisError, OSError) as error:
            log.warning("run could not be handed over", run_id=run_id, error=type(error).__name__)
            return False
        return True

    async def cancel_run(self, run: Run, message: Message, take: TakeCancelled) -> None:
        """Stop a run that the database calls cancelled, and see that its watchers hear of it.

        Whoever executes the run closes the model server's connection, stores what was delivered and
        announces the end. Where nobody does so in time, `take` takes the run from them, so that
        they change nothing later, and the end is announced as it is stored.
        """
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._docket.cancel(run.run_id)
        except (RedisError, OSError):
            _cancel_not_sent(run)
        if run.attempt == 0:  # nobody executes it, and nobody will
            self._announce(run, 1, MessageCompleted(message), RunEnded(run))
            return
        if await self.events.wait_for_end(run.run_id, timeout_seconds=_CANCEL_SECONDS):
            return
        if self._stopping:  # and hears nothing more; whoever executes the run has as long
            await asyncio.sleep(_CANCEL_SECONDS)
        try:
            taken = await take(run)
        except UnavailableError:
            log.warning("end of a cancelled run could not be told", run_id=run.run_id)
            return
        if taken is not None:
            run, message = taken
            self._announce(run, run.attempt, MessageCompleted(message), RunEnded(run))

    async def drop_run(self, run: Run) -> None:
        """Stop a run whose thread is gone, and tell its watchers that it is cancelled."""
        gone = replace(run, status="cancelled", ended_at=utc_now())
        self._announce(gone, run.attempt + 1, RunEnded(gone))
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._docket.cancel(run.run_id)
        except (RedisError, OSError):
            _cancel_not_sent(run)

    def _announce(self, run: Run, attempt: int, *events: Event) -> None:
        """Publish above whatever an attempt that still executes has to say."""
        for event in events:
            self.events.publish(run.run_id, attempt, event)
        self.events.release(run.run_id, attempt)
        if self._on_end is not None:
            self._on_end(run)

    @property
    def stopping(self) -> bool:
        """Whether this process takes no more work."""
        return self._stopping

    def begin_stop(self) -> None:
        """Take no more runs, hand over those that are executing, and let every watcher end."""
        self._stopping = True
        self.events.stop_watching()
        if self._worker is not None:
            self._worker.cancel()
        for task in self._executing.values():
            task.cancel()

    async def work(self, *, concurrency: int, lease_seconds: float) -> None:
        """Execute runs until `begin_stop`, and return once they are handed over.

        A worker whose store went away finishes what it has before it looks for the store again,
        and that may take long: meanwhile another one takes its place.
        """
        retiring: list[asyncio.Task[None]] = []
        while not self._stopping:
            worker = Worker(
                self._docket,
                concurrency=concurrency,
                redelivery_timeout=timedelta(seconds=lease_seconds),
                schedule_automatic_tasks=False,
            )
            self._worker = asyncio.create_task(_work_with(worker), name="worker")
            while not self._worker.done() and not _has_lost_its_store(worker):
                await asyncio.wait([self._worker], timeout=_AGAIN_AFTER.total_seconds())
            if not self._worker.done():
                log.warning("worker lost its store and another one takes over")
                retiring.append(asyncio.create_task(_retire(worker, self._worker)))
            elif not self._stopping:
                error = None if self._worker.cancelled() else self._worker.exception()
                log.error("worker ended and begins again", exc_info=error)
                await asyncio.sleep(_AGAIN_AFTER.total_seconds())
        await asyncio.gather(*retiring, return_exceptions=True)

    def register(self, execute: Callable[[str], Awaitable[None]]) -> None:
        """Say what executing a run means."""

        async def execute_run(
            run_id: str, retry: Retry = Retry(attempts=None, delay=_AGAIN_AFTER)
        ) -> None:
            if self._stopping:
                self._hand_over(retry)
                return
            task = self._executing.get(run_id)
            is_first = task is None
            if task is None:
                # A store that was away may hand out again what is being executed here: it waits.
                task = self._executing[run_id] = asyncio.ensure_future(_run(execute, run_id))
            try:
                await task
            except asyncio.CancelledError:
                if not self._stopping:
                    raise
                self._hand_over(retry)
            finally:
                if is_first:
                    del self._executing[run_id]

        self._docket.register(execute_run, names=[_JOB])

    def _hand_over(self, retry: Retry) -> None:
        """Put the job back for another process; an embedded engine leaves it to the next start."""
        if not self.embedded:
            retry.after(timedelta(0))


async def _work_with(worker: Worker) -> None:
    async with worker:
        await worker.run_forever()


def _has_lost_its_store(worker: Worker) -> bool:
    """Tell whether a worker takes no more runs and waits for those that it has."""
    session = getattr(worker, "_processing_session", None)
    return session is not None and session.stopping.is_set()


async def _retire(worker: Worker, task: asyncio.Task[None]) -> None:
    """End a worker that lost its store once its runs are done; earlier, that would end them."""
    while not task.done() and _has_lost_its_store(worker):
        await asyncio.wait([task], timeout=_AGAIN_AFTER.total_seconds())
    task.cancel()
    await asyncio.wait([task])


async def _run(execute: Callable[[str], Awaitable[None]], run_id: str) -> None:
    structlog.contextvars.bind_contextvars(run_id=run_id)
    await execute(run_id)


def _cancel_not_sent(run: Run) -> None:
    log.warning("cancel could not be sent; the worker notices at its next save", run_id=run.run_id)


@asynccontextmanager
async def open_engine(
    url: str, *, name: str = "gpt-assistant-api", on_end: Callable[[Run], None] | None = None
) -> AsyncGenerator[Engine, None]:
    """Connect to the engine. `working` makes this process execute runs as well.

    `on_end` hears of the runs whose end the engine itself announces, for nobody executes them.
    """
    _quieten_library()
    async with _docket(name, url) as docket:
        engine = Engine(docket, on_end)
        async with docket.redis() as redis:
            engine.redis_pool = getattr(redis, "connection_pool", None)
        if engine.redis_pool is not None and not url.startswith("unix:"):
            give_up_the_dead(engine.redis_pool)
        await _look_at_store(engine)
        engine.events.start()
        try:
            yield engine
        finally:
            await engine.events.close()


@asynccontextmanager
async def _docket(name: str, url: str) -> AsyncGenerator[Docket, None]:
    async with AsyncExitStack() as stack:
        try:
            docket = await stack.enter_async_context(
                Docket(name=name, url=url, execution_ttl=timedelta(0))
            )
        except (ValueError, TypeError) as error:
            raise explained(error) or error from None
        yield docket


async def _look_at_store(engine: Engine) -> None:
    """Refuse a setting that is wrong; a store that is away may come back, and is waited for."""
    try:
        await engine.events.check()
    except (UnavailableError, ValueError, TypeError) as failure:
        error = failure.__cause__ if isinstance(failure, UnavailableError) else failure
        assert isinstance(error, Exception), "the log says what it comes from"
        if wrong := explained(error):
            raise wrong from None
        log.warning(
            "REDIS_URL: Redis does not answer; runs are stored and begin once it does",
            reason=reason(error),
        )


@asynccontextmanager
async def working(
    engine: Engine, *, concurrency: int, lease_seconds: float
) -> AsyncGenerator[None, None]:
    """Execute runs while the block lasts; leaving it hands over those that are not finished."""
    task = asyncio.create_task(
        engine.work(concurrency=concurrency, lease_seconds=lease_seconds), name="working"
    )
    try:
        yield
    finally:
        engine.begin_stop()
        await task


def _quieten_library() -> None:
    """Keep the library's line per job out of the log: a job's own log says what happened."""
    for name in ("docket", "docket.worker", "docket.dependencies"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
