"""Threads that run SQLite's calls for the event loop, with few wakeups.

`run_in_executor` costs several times what a statement does. Here a call is one `put` into the
thread's inbox, and the results that are ready when the loop wakes up are delivered together.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from gpt_assistant_api.domain.errors import UnavailableError

CLOSE_SECONDS = 10.0

Item = TypeVar("Item")


def database_closed() -> UnavailableError:
    """Return the refusal of whoever comes after `close`."""
    return UnavailableError("The database is closed.", code="database_unavailable")


class Mailbox:
    """Results on their way from threads to the event loop."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._results: deque[tuple[Future[Any], Any, Exception | None]] = deque()
        self._announced = False

    def send(self, future: Future[Any], result: Any, error: Exception | None = None) -> None:
        """Settle a future, from any thread."""
        self._results.append((future, result, error))
        if not self._announced:
            self._announced = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._announced = False  # first: a result that comes from here on announces itself
        while self._results:
            future, result, error = self._results.popleft()
            if future.done():  # whoever waited was cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


class Worker:
    """One thread that makes calls one after the other, in the order in which they came."""

    def __init__(self, name: str, loop: AbstractEventLoop, mailbox: Mailbox) -> None:
        self._loop = loop
        self._mailbox = mailbox
        self._inbox: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = (
            SimpleQueue()
        )
        self._stopped = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have `function` called; its result or exception comes by the future."""
        if self._stopped:
            raise database_closed()
        future = self._loop.create_future()
        self._inbox.put((future, function, arguments))
        return future

    async def stop(self) -> None:
        """End the thread after the calls that were made so far; one that hangs is left behind."""
        self._stopped = True
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)

    def _run(self) -> None:
        while (call := self._inbox.get()) is not None:
            future, function, arguments = call
            try:
                result = function(*arguments)
            except Exception as error:  # it belongs to whoever awaits the future
                self._mailbox.send(future, None, error)
            else:
                self._mailbox.send(future, result)


class Turns(Generic[Item]):
    """A few things that many tasks take turns with, first come, first served.

    A thing that nobody waits for goes to `keep_back`, which may hold it for a while and give it
    back again.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._free: list[Item] = []
        self._waiting: deque[Future[Item]] = deque()
        self._closed = False
        self.keep_back: Callable[[], bool] = lambda: False

    @property
    def free(self) -> int:
        """How many things nobody has."""
        return len(self._free)

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return len(self._waiting)

    async def take(self) -> Item:
        """Wait for a thing and return it."""
        if self._closed:
            raise database_closed()
        if self._free:
            return self._free.pop()
        turn: Future[Item] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self.give_back(turn.result())
            raise

    def give_back(self, item: Item) -> None:
        """Let the next one have it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(item)
                return
        if not self.keep_back():
            self._free.append(item)

    def close(self) -> None:
        """Refuse whoever waits or comes later."""
        self._closed = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(database_closed())
        self._waiting.clear()
