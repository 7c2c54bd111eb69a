"""How the response of a stream ends: by itself, with its client, or with its server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, nullcontext

import pytest
from starlette.types import Message

from gpt_assistant_api.api.rest.events import event_stream
from gpt_assistant_api.api.rest.links import FileLinks
from gpt_assistant_api.domain.events import BEGINNING
from gpt_assistant_api.engine import LoggedEvent
from gpt_assistant_api.runtime import Links


class Sending:
    """A stream of nothing that is being sent, to a client that can leave."""

    def __init__(self) -> None:
        self.released = 0
        self.closed = False
        self.gone = asyncio.Event()
        self.begun = asyncio.Event()

    async def _batches(self) -> AsyncGenerator[list[LoggedEvent], None]:
        try:
            yield []
            yield []
            await asyncio.Event().wait()
        finally:
            self.closed = True

    async def _allow(self) -> None:
        """Refuse nothing."""

    def _release(self) -> None:
        self.released += 1

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.begun.set()

    async def start(self) -> asyncio.Task[None]:
        """Send until the stream waits."""
        held = ExitStack()
        held.callback(self._release)
        response = await event_stream(
            self._batches(), FileLinks(Links(b"secret", 60)), html=False, after=BEGINNING,
            open_stream=nullcontext, recheck=self._allow, held=held,
        )  # fmt: skip
        task = asyncio.ensure_future(response({}, self._receive, self._send))
        await self.begun.wait()
        return task


async def test_a_stream_ends_with_its_client() -> None:
    sending = Sending()
    task = await sending.start()
    sending.gone.set()
    async with asyncio.timeout(10):
        await task
    assert task.cancelling() == 0
    assert (sending.released, sending.closed) == (1, True)


@pytest.mark.parametrize("client_leaves", [True, False])
async def test_a_stream_that_is_cancelled_is_so_though_its_client_leaves_at_that_moment(
    *, client_leaves: bool
) -> None:
    sending = Sending()
    task = await sending.start()
    if client_leaves:
        sending.gone.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (sending.released, sending.closed) == (1, True)
