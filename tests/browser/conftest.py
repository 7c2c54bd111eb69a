"""A real browser for the stories about the chat page: one for each worker, a context for each test.

The asynchronous Playwright runs in the loop of the tests. The synchronous one would leave a running
loop on the main thread, where no other asynchronous test could follow it.
"""

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from tests.api.credentials import Service, guarded
from tests.browser.chat import Chat, Troubles
from tests.server import RunningServer

# What starts Chromium without a display, a sandbox for root, and a word to anybody outside.
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

OpenChat = Callable[..., Awaitable[Chat]]


@pytest.fixture(scope="package")
async def browser() -> AsyncGenerator[Browser, None]:
    """Start the system's Chromium once."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
def database_url(new_sqlite_url: str) -> str:
    """Return where the server's database is: the page does not see which kind it is."""
    return new_sqlite_url


@pytest.fixture
async def open_chat(browser: Browser) -> AsyncGenerator[OpenChat, None]:
    """Give a function that opens the page of a server in a context of its own.

    Whatever goes wrong on a page unannounced, in the console or on the network, fails the test.
    """
    opened: list[Chat] = []

    async def open_chat(url: str, path: str = "/", **options: Any) -> Chat:
        settings = {"locale": "en-GB", "reduced_motion": "reduce", **options}
        context = await browser.new_context(**settings)
        context.set_default_timeout(15_000)
        troubles = Troubles(url)
        troubles.watch(context)
        chat = Chat(await context.new_page(), url, troubles)
        opened.append(chat)
        await chat.open(path)
        return chat

    yield open_chat
    for chat in opened:
        await chat.page.context.close()
    assert [line for chat in opened for line in chat.troubles.unexpected] == []


@pytest.fixture
async def chat(server: RunningServer, open_chat: OpenChat) -> Chat:
    """Open the page of a server in open mode, which outlives the page."""
    return await open_chat(server.url)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Serve who shows a credential."""
    with guarded(tmp_path) as service:
        yield service
