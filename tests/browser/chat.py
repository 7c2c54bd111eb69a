"""The chat page as its reader sees it: by the names that a screen reader says."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    FilePayload,
    JSHandle,
    Locator,
    Page,
    Request,
    expect,
)

expect.set_options(timeout=15_000)

USER = "me"
"""Who the page speaks for in open mode until somebody says otherwise."""


@dataclass
class Troubles:
    """What must never happen on the page, noted as it happens."""

    origin: str
    found: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, *patterns: str) -> None:
        """Let the console say this, for a story in which something fails."""
        self.expected.extend(patterns)

    def watch(self, context: BrowserContext) -> None:
        """Note what happens on every page of a context."""
        context.on("console", self._said)
        context.on("weberror", lambda error: self._note(f"exception: {error.error}"))
        context.on("request", self._requested)
        context.on("page", lambda page: page.on("dialog", self._asked))

    @property
    def unexpected(self) -> list[str]:
        """Return what no story has announced."""
        return [line for line in self.found if not any(re.search(e, line) for e in self.expected)]

    def _note(self, line: str) -> None:
        self.found.append(line)

    def _said(self, message: ConsoleMessage) -> None:
        # A breach of the content security policy is said here as well.
        if message.type in {"error", "warning"}:
            self._note(f"console: {message.text}")

    def _requested(self, request: Request) -> None:
        parts = urlsplit(request.url)
        is_own = f"{parts.scheme}://{parts.netloc}" == self.origin
        if not is_own and parts.scheme not in {"blob", "data"}:
            self._note(f"foreign request: {request.url}")

    async def _asked(self, dialog: Dialog) -> None:
        self._note(f"dialog: {dialog.message}")
        await dialog.dismiss()


class Chat:
    """The page, and what a reader does with it."""

    def __init__(self, page: Page, url: str, troubles: Troubles) -> None:
        self.page = page
        self.url = url
        self.troubles = troubles
        self.box = page.get_by_role("textbox", name="Message", exact=True)
        self.log = page.get_by_role("log", name="Conversation")
        self.messages = page.get_by_role("article")
        self.questions = page.locator('article[data-role="user"]')
        self.answers = page.locator('article[data-role="assistant"]')
        self.threads = page.get_by_role("navigation", name="Threads")
        self.alert = page.get_by_role("alert")

    def button(self, name: str, within: Locator | None = None) -> Locator:
        """Return the button of this name."""
        return (within or self.page).get_by_role("button", name=name, exact=True)

    async def open(self, path: str = "/") -> None:
        """Open the page."""
        await self.page.goto(f"{self.url}{path}")

    async def open_thread(self, thread_id: str) -> None:
        """Open the page at a thread by its address."""
        await self.open(f"/#/t/{thread_id}")
        await expect(self.messages.first).to_be_visible()

    async def sign_in(self, credential: str, user_id: str | None = None) -> None:
        """Show a credential to the page; a token says itself whose it is."""
        await self.page.get_by_label("Key or token").fill(credential)
        if user_id is not None:
            await self.page.get_by_role("textbox", name="User id").fill(user_id)
        await self.button("Sign in").click()

    async def send(self, prompt: str) -> None:
        """Write a message and send it."""
        await self.box.fill(prompt)
        await self.button("Send").click()

    async def ask(self, prompt: str) -> None:
        """Send a message and wait for the whole answer."""
        await self.send(prompt)
        await expect(self.questions.last).to_contain_text(prompt)
        await self.answered()

    async def answered(self) -> None:
        """Wait until the newest answer is whole."""
        await expect(self.answers.last).to_have_attribute("data-status", "completed")
        await expect(self.button("Send")).to_be_visible()

    def thread(self, title: str) -> Locator:
        """Return the link to a thread."""
        return self.threads.get_by_role("link", name=title, exact=True)

    async def attach(self, *files: FilePayload) -> None:
        """Choose files by the button."""
        async with self.page.expect_file_chooser() as chooser:
            await self.button("Attach pictures").click()
        await (await chooser.value).set_files(list(files))

    async def focused(self) -> str:
        """Return the name of what has the focus."""
        name: str = await self.page.evaluate(
            "(element => element.ariaLabel || element.textContent.trim())(document.activeElement)"
        )
        return name

    async def tab_to(self, name: str, key: str = "Tab") -> None:
        """Press a key until what is called `name` has the focus."""
        passed: list[str] = []
        while len(passed) < 100:
            await self.page.keyboard.press(key)
            passed.append(await self.focused())
            if passed[-1] == name:
                return
        raise AssertionError(f"no way to {name!r} by {key}: {passed}")

    async def transfer_of(self, *files: FilePayload) -> JSHandle:
        """Return files as something is dragged or pasted that holds them."""
        return await self.page.evaluate_handle(_MAKE_TRANSFER, _encoded(files))


_MAKE_TRANSFER = """
files => {
  const transfer = new DataTransfer();
  for (const { name, type, data } of files) {
    const bytes = Uint8Array.from(atob(data), character => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  return transfer;
}
"""


def _encoded(files: Iterable[FilePayload]) -> list[dict[str, Any]]:
    return [
        {
            "name": file["name"],
            "type": file["mimeType"],
            "data": base64.b64encode(file["buffer"]).decode(),
        }
        for file in files
    ]
