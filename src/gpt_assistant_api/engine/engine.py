"""Runs: handed over by their id, executed by any process, stopped from anywhere.

Who takes a run in executes it, while there is room; what does not fit waits in the queue for the
first process that has some. Execution is at least once; the attempt in the database makes it
harmless.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import replace
from typing import Any

import structlog

from gpt_assistant_api.domain.asks import Asked
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.events import Event, MessageCompleted, RunEnded
from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import Run
from gpt_assistant_api.engine.address import EMBEDDED
from gpt_assistant_api.engine.archive import Archive
from gpt_assistant_api.engine.kept import KeptLogs
from gpt_assistant_api.engine.log import EventLog
from gpt_assistant_api.engine.loops import AGAIN_SECONDS, cause, keep_up
from gpt_assistant_api.engine.queue import LocalQueue, Queue

_CANCEL_SECONDS = 2.0
_TAKE_TRIES = 30

Execute = Callable[[str, Asked | None], Awaitable[None]]
TakeCancelled = Callable[[Run], Awaitable[tuple[Run, Message] | None]]

log = structlog.get_logger(__name__)


class Engine:
    """The runs that this process executes, the queue of the others, and the event log of all.

    `redis_pool`: the connections to Redis, for whoever else keeps something there; None when the
    engine lives and dies with this process.
    """

    def __init__(
        self,
        queue: Queue,
        archive: Archive,
        *,
        redis_pool: Any = None,
        on_end: Callable[[Run], None] | None = None,
    ) -> None:
        self.events = EventLog(archive)
        self.redis_pool = redis_pool
        self._queue = queue
        self._on_end = on_end
        self._execute: Execute | None = None
        self._room = asyncio.Semaphore(0)
        self._executing: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[asyncio.Task[None]] = []
        self._handing_over: list[asyncio.Task[None]] = []
        self._taking_over: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def embedded(self) -> bool:
        """Whether the engine lives and dies with this process."""
        return self.redis_pool is None

    @property
    def executing(self) -> int:
        """How many runs this process executes now."""
        return len(self._executing)

    @property
    def stopping(self) -> bool:
        """Whether this process takes no more work."""
        return self._stopping

    async def submit_run(self, run_id: str, asked: Asked | None = None) -> bool:
        """Have a run executed here or elsewhere; one that is waiting or executing stays as it is.

        `asked` spares whoever executes it here a look into the database. False when the engine's
        store does not answer: the run is stored, and the regular look for runs that nobody executes
        finds it.
        """
        return await self._begin_here(run_id, asked) or await self.submit_runs([run_id])

    async def submit_runs(self, run_ids: Sequence[str]) -> bool:
        """Do the same with many runs."""
        waiting = [run_id for run_id in run_ids if not await self._begin_here(run_id)]
        if not waiting:
            return True
        try:
            await self._queue.put(waiting)
        except UnavailableError as error:
            log.warning("runs could not be handed over", count=len(waiting), error=cause(error))
            return False
        return True

    async def cancel_run(self, run: Run, message: Message, take: TakeCancelled) -> None:
        """Stop a run that the database calls cancelled, and see that its watchers hear of it.

        Whoever executes the run closes the model server's connection, stores what was delivered and
        announces the end. Where nobody does so in time, `take` takes the run from them, so that
        they change nothing later, and the end is announced as it is stored.
        """
        await self._call_off(run)
        if run.attempt == 0:  # nobody executes it, and nobody will
            self._announce(run, 1, MessageCompleted(message), RunEnded(run))
            return
        if await self.events.wait_for_end(run.run_id, timeout_seconds=_CANCEL_SECONDS):
            return
        if self._stopping:  # and hears nothing more; whoever executes the run has as long
            await asyncio.sleep(_CANCEL_SECONDS)
        try:
            await self._take_over(run, take)
        except UnavailableError:  # whoever cancelled it need not wait, but its watchers do
            task = asyncio.create_task(self._take_over_patiently(run, take), context=Context())
            self._taking_over.add(task)
            task.add_done_callback(self._taking_over.discard)

    async def _take_over(self, run: Run, take: TakeCancelled) -> None:
        taken = await take(run)
        if taken is not None:
            run, message = taken
            self._announce(run, run.attempt, MessageCompleted(message), RunEnded(run))

    async def _take_over_patiently(self, run: Run, take: TakeCancelled) -> None:
        for _ in range(_TAKE_TRIES):
            await asyncio.sleep(AGAIN_SECONDS)
            with suppress(UnavailableError):
                await self._take_over(run, take)
                return
        log.warning("end of a cancelled run could not be told", run_id=run.run_id)

    async def drop_run(self, run: Run) -> None:
        """Stop a run whose thread is gone, and tell its watchers that it is cancelled."""
        gone = replace(run, status="cancelled", ended_at=utc_now())
        self._announce(gone, run.attempt + 1, RunEnded(gone))
        await self._call_off(run)

    def register(self, execute: Execute) -> None:
        """Say what executing a run means."""
        self._execute = execute

    def begin_work(self, concurrency: int) -> None:
        """Execute so many runs at a time, from now on."""
        self._room = asyncio.Semaphore(concurrency)
        self._listeners = [
            asyncio.create_task(keep_up("runs cannot be taken", self._take), name="engine: take"),
            asyncio.create_task(
                keep_up("cancels cannot be heard", lambda: self._queue.listen(self._stop)),
                name="engine: listen",
            ),
        ]

    def begin_stop(self) -> None:
        """Take no more runs, hand over those that are executing, and let every watcher end."""
        self._stopping = True
        self.events.stop_watching()
        for task in self._listeners:
            task.cancel()
        for run_id in self._executing:
            self._stop(run_id)

    async def end_work(self) -> None:
        """Return once everything that was executing is handed over."""
        self.begin_stop()
        for task in self._taking_over:
            task.cancel()
        await asyncio.gather(*self._executing.values(), *self._taking_over, return_exceptions=True)
        await asyncio.gather(*self._listeners, *self._handing_over, return_exceptions=True)

    async def _begin_here(self, run_id: str, asked: Asked | None = None) -> bool:
        if run_id in self._executing:
            return True
        if self._stopping or self._room.locked():
            return False
        await self._room.acquire()  # at once, for there is room
        self._begin(run_id, asked)
        return True

    def _begin(self, run_id: str, asked: Asked | None = None) -> None:
        # A run outlives the request that brings it, whose id its log lines must not carry.
        task = asyncio.create_task(self._attempt(run_id, asked), name=run_id, context=Context())
        self._executing[run_id] = task
        self.events.expect(run_id)
        task.add_done_callback(lambda _: self._finish(run_id, task))

    def _finish(self, run_id: str, task: asyncio.Task[None]) -> None:
        """Make room; an embedded engine leaves what it did not finish to the next start."""
        del self._executing[run_id]
        self._room.release()
        self.events.release(run_id)
        if self._stopping and task.cancelled() and not self.embedded:
            self._hand_over(run_id)

    def _stop(self, run_id: str) -> None:
        task = self._executing.get(run_id)
        if task is not None and not task.cancelling():  # a second one would disturb the first's end
            task.cancel()

    async def _attempt(self, run_id: str, asked: Asked | None) -> None:
        assert self._execute is not None, "nobody has said what executing means"
        structlog.contextvars.bind_contextvars(run_id=run_id)
        while True:
            try:
                return await self._execute(run_id, asked)
            except Exception as error:
                if self._stopping:  # what it was cancelled for: somebody else executes it
                    raise asyncio.CancelledError from error
                log.warning("run could not be executed and is tried again", error=cause(error))
                asked = None
                await asyncio.sleep(AGAIN_SECONDS)

    async def _take(self) -> None:
        """Take runs out of the queue while there is room, which is not kept for them meanwhile."""
        while True:
            await self._room.acquire()
            self._room.release()
            run_id = await self._queue.take()
            if await self._begin_here(run_id):
                continue
            if self._stopping:
                self._hand_over(run_id)
            else:
                await self._queue.put([run_id])

    def _hand_over(self, run_id: str) -> None:
        self._handing_over.append(asyncio.create_task(self._queue.put([run_id])))

    async def _call_off(self, run: Run) -> None:
        if run.run_id in self._executing:
            self._stop(run.run_id)
            return
        try:
            await self._queue.call_off(run.run_id)
        except UnavailableError:
            log.warning(
                "cancel could not be sent; who executes the run notices at the next save",
                run_id=run.run_id,
            )

    def _announce(self, run: Run, attempt: int, *events: Event) -> None:
        """Publish above whatever an attempt that still executes has to say."""
        for event in events:
            self.events.publish(run.run_id, attempt, event)
        self.events.release(run.run_id)
        if self._on_end is not None:
            self._on_end(run)


@asynccontextmanager
async def open_engine(
    url: str, *, name: str = "gpt-assistant-api", on_end: Callable[[Run], None] | None = None
) -> AsyncGenerator[Engine, None]:
    """Connect to the engine. `working` makes this process execute runs as well.

    `on_end` hears of the runs whose end the engine itself announces, for nobody executes them.
    Raises ConfigurationError for a setting that is wrong.
    """
    if url.startswith(EMBEDDED):
        engine = Engine(LocalQueue(), KeptLogs(), on_end=on_end)
        async with _keeping_events(engine):
            yield engine
        return
    # Brings the client along, which the embedded engine does without.
    from gpt_assistant_api.engine.redis import connected  # noqa: PLC0415
    from gpt_assistant_api.engine.shared_queue import SharedQueue  # noqa: PLC0415
    from gpt_assistant_api.engine.streams import Streams  # noqa: PLC0415
    from gpt_assistant_api.engine.troubles import look_at_store  # noqa: PLC0415

    async with connected(url) as redis:
        engine = Engine(
            SharedQueue(redis, name),
            Streams(redis, name),
            redis_pool=redis.connection_pool,
            on_end=on_end,
        )
        await look_at_store(engine.events.check)
        async with _keeping_events(engine):
            yield engine


@asynccontextmanager
async def _keeping_events(engine: Engine) -> AsyncGenerator[None, None]:
    engine.events.start()
    try:
        yield
    finally:
        await engine.events.close()


@asynccontextmanager
async def working(engine: Engine, *, concurrency: int) -> AsyncGenerator[None, None]:
    """Execute runs while the block lasts; leaving it hands over those that are not finished."""
    engine.begin_work(concurrency)
    try:
        yield
    finally:
        await engine.end_work()
