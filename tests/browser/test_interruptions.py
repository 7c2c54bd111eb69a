"""Whatever breaks between the reader and the model, the page says it and goes on by itself."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from gpt_assistant_api.settings import Settings
from tests.api.credentials import AUDIENCE, ISSUER, SECRET, make_token
from tests.browser.chat import Chat
from tests.browser.conftest import OpenChat
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import ServerProcess, server_process
from tests.server import make_settings, running

LONG = " ".join(f"word{number}" for number in range(200))
DISCONNECTED = r"net::ERR_"


async def assert_whole_once(chat: Chat) -> None:
    """Check that the newest answer is there, every word of it once."""
    await chat.answered()
    await expect(chat.answers).to_have_count(1)
    assert await chat.answers.last.get_by_text("word0 ").evaluate("e => e.textContent") == LONG
    text = await chat.answers.last.text_content() or ""
    assert text.count("word199") == 1


@pytest.fixture
def process(tmp_path: Path, upstream: ModelServerSimulation) -> Iterator[ServerProcess]:
    """The program as a process that can be killed."""
    settings = {"OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "MODEL_API": "chat_completions"}
    with server_process(tmp_path, **settings) as process:
        yield process


def settings_with_tokens(folder: Path, upstream: ModelServerSimulation, **changes: Any) -> Settings:
    """Return the settings of a server that wants user tokens."""
    return make_settings(
        folder, openai_base_url=upstream.url, model="sim", model_api="responses",
        jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, **changes,
    )  # fmt: skip


class Wire:
    """A TCP connection to a server that can be cut."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []
        self.url = ""

    @asynccontextmanager
    async def laid(self) -> AsyncGenerator["Wire", None]:
        """Carry connections while the block lasts."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers += [writer, back]
        await asyncio.gather(_copy(reader, back), _copy(there, writer), return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_a_reload_in_the_middle_of_an_answer_loses_and_doubles_nothing(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text=LONG, pieces=20, pause_after=10))
    await chat.send("Go on.")
    await expect(chat.answers.last).to_contain_text("word20")
    await chat.page.reload()
    await expect(chat.answers.last).to_contain_text("word20")
    await expect(chat.button("Stop")).to_be_visible()
    upstream.release()
    await assert_whole_once(chat)


async def test_a_killed_server_that_comes_back_finishes_the_answer_on_the_same_page(
    process: ServerProcess, upstream: ModelServerSimulation, open_chat: OpenChat
) -> None:
    upstream.script(Answer(text=LONG, pieces=20, pause_after=10), Answer(text=LONG, pieces=20))
    await process.start()
    chat = await open_chat(process.url)
    chat.troubles.expect(DISCONNECTED)
    await chat.send("Go on.")
    await expect(chat.answers.last).to_contain_text("word20")
    process.kill()
    await expect(chat.answers.last).to_contain_text("connection is lost")
    await process.start()
    await assert_whole_once(chat)
    await expect(chat.answers.last).not_to_contain_text("connection is lost")


async def test_a_cut_connection_is_made_again_where_it_was_cut(
    tmp_path: Path, upstream: ModelServerSimulation, open_chat: OpenChat
) -> None:
    upstream.script(Answer(text=LONG, pieces=20, pause_after=10))
    # In open mode the page may only be called by the server's own port.
    with running(settings_with_tokens(tmp_path, upstream)) as server:
        async with Wire(server.url).laid() as wire:
            chat = await open_chat(wire.url)
            chat.troubles.expect(DISCONNECTED)
            await chat.sign_in(make_token("ada"))
            await chat.send("Go on.")
            await expect(chat.answers.last).to_contain_text("word20")
            wire.cut()
            upstream.release()
            await assert_whole_once(chat)


async def test_a_question_that_cannot_be_sent_waits_to_be_sent_again(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    chat.troubles.expect(DISCONNECTED)
    await expect(chat.button("New chat")).to_be_visible()
    await chat.page.clock.install()
    await chat.page.context.set_offline(True)
    await chat.send("Are you there?")
    while not await chat.alert.is_visible():
        await chat.page.clock.fast_forward("00:02")  # what is sent again waits a little before
    await expect(chat.alert).to_contain_text("cannot be reached")
    await expect(chat.box).to_have_value("Are you there?")
    await chat.page.context.set_offline(False)
    await chat.button("Try again").click()
    await chat.answered()
    await expect(chat.questions).to_have_count(1)
    await expect(chat.box).to_have_value("")
    assert len(upstream.requests) == 1


async def test_a_failure_of_the_model_is_said_and_can_be_tried_again(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(status=400), Answer(text="Better now."))
    await chat.send("Go on.")
    await expect(chat.answers.last).to_have_attribute("data-status", "failed")
    await expect(chat.alert).to_contain_text("model server")
    await chat.page.reload()
    await expect(chat.alert).to_contain_text("model server")
    await chat.button("Try again").click()
    await expect(chat.answers).to_contain_text(["Better now."])
    await chat.answered()
    await expect(chat.questions).to_have_count(1)
    await expect(chat.alert).to_be_hidden()


async def test_too_many_requests_are_told_how_long_to_wait(
    tmp_path: Path, upstream: ModelServerSimulation, open_chat: OpenChat
) -> None:
    with running(settings_with_tokens(tmp_path, upstream, requests_per_minute=20)) as server:
        chat = await open_chat(server.url)
        await chat.page.clock.install()
        chat.troubles.expect("status of 429")
        await chat.sign_in(token := make_token("ada"))
        await expect(chat.box).to_be_visible()
        headers = {"Authorization": f"Bearer {token}"}
        for _ in range(20):
            await chat.page.request.get(f"{server.url}/threads/ada", headers=headers)
        await chat.send("One more?")
        await expect(chat.alert).to_contain_text(re.compile(r"Wait \d+ seconds?\."))
        await expect(chat.box).to_have_value("One more?")
        await expect(chat.questions).to_have_count(0)
        await chat.page.clock.fast_forward("01:00")
        await expect(chat.alert).to_contain_text("It can be tried again now.")
