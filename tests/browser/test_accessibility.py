"""axe-core has nothing to say about any state of the page, in light and dark, wide and narrow."""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Literal

import pytest
from playwright.async_api import FilePayload, ViewportSize, expect

from tests.api.credentials import Service
from tests.api.helpers import png
from tests.browser.chat import Chat
from tests.browser.conftest import OpenChat
from tests.browser.test_answers import MARKDOWN
from tests.model_server import Answer, ModelServerSimulation

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]
SIZES = [ViewportSize(width=1280, height=800), ViewportSize(width=390, height=780)]
PICTURE = FilePayload(name="cat.png", mimeType="image/png", buffer=png())

State = Callable[[Chat, ModelServerSimulation], Awaitable[None]]


async def assert_accessible(chat: Chat) -> None:
    """Check the page as it stands, in every theme and size."""
    await chat.page.evaluate(AXE)  # not held up by the policy that keeps scripts off the page
    found = {
        f"{scheme}, {size['width']} px": complaints
        for scheme in SCHEMES
        for size in SIZES
        if (complaints := await _complaints(chat, scheme, size))
    }
    assert found == {}


async def _complaints(
    chat: Chat, scheme: Literal["light", "dark"], size: ViewportSize
) -> list[str]:
    await chat.page.set_viewport_size(size)
    await chat.page.emulate_media(color_scheme=scheme)
    result: dict[str, Any] = await chat.page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]}: {node['failureSummary']}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


async def empty(chat: Chat, upstream: ModelServerSimulation) -> None:
    await expect(chat.box).to_be_focused()


async def conversation(chat: Chat, upstream: ModelServerSimulation) -> None:
    upstream.script(Answer(text=f"# Title\n\n{MARKDOWN}\n\n> [a link](https://a.example) ~~no~~\n"
                           "\n- [x] `done`\n- [ ] to do"))  # fmt: skip
    await chat.attach(PICTURE)
    await chat.ask("What is this?")
    await chat.button("Reply", chat.answers.last).click()
    await chat.attach(PICTURE)


async def editing(chat: Chat, upstream: ModelServerSimulation) -> None:
    await chat.ask("What is this?")
    await chat.button("Regenerate").click()
    await expect(chat.page.get_by_test_id("versions").last).to_have_text("2/2")
    await chat.answered()
    await chat.button("Edit").click()


async def deleting(chat: Chat, upstream: ModelServerSimulation) -> None:
    await chat.ask("Keep me?")
    await chat.button("Delete Keep me?").click()
    await expect(chat.page.get_by_role("dialog", name="Delete thread?")).to_be_visible()


async def enlarged(chat: Chat, upstream: ModelServerSimulation) -> None:
    await chat.attach(PICTURE)
    await chat.ask("What is this?")
    await chat.button("Enlarge cat.png").click()
    await expect(chat.page.get_by_role("dialog", name="Picture")).to_be_visible()


async def searching(chat: Chat, upstream: ModelServerSimulation) -> None:
    await chat.ask("Where are whales?")
    await chat.page.get_by_role("searchbox", name="Search").fill("whales")
    await expect(chat.page.get_by_role("region", name="Found").get_by_role("link")).to_be_visible()


async def failed(chat: Chat, upstream: ModelServerSimulation) -> None:
    upstream.script(Answer(status=400))
    await chat.send("Go on.")
    await expect(chat.button("Try again")).to_be_visible()


async def answering(chat: Chat, upstream: ModelServerSimulation) -> None:
    upstream.script(Answer(text=MARKDOWN, pause_after=2))
    await chat.send("Go on.")
    await expect(chat.answers.last.locator("strong")).to_be_visible()


async def renaming(chat: Chat, upstream: ModelServerSimulation) -> None:
    await chat.ask("Old name")
    await chat.button("Rename Old name").click()


STATES: list[State] = [
    *(empty, conversation, editing, deleting, enlarged, searching, failed, answering, renaming)
]


@pytest.mark.parametrize("reach", STATES)
async def test_no_state_of_the_page_leaves_anybody_out(
    chat: Chat, upstream: ModelServerSimulation, reach: State
) -> None:
    await reach(chat, upstream)
    await assert_accessible(chat)


async def test_the_drawer_of_a_narrow_page_leaves_nobody_out(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    await chat.ask("Old name")
    await chat.page.set_viewport_size(SIZES[1])
    await chat.button("Show threads").click()
    await expect(chat.thread("Old name")).to_be_in_viewport()
    await chat.page.evaluate(AXE)
    for scheme in SCHEMES:
        assert await _complaints(chat, scheme, SIZES[1]) == []


async def test_signing_in_leaves_nobody_out(service: Service, open_chat: OpenChat) -> None:
    chat = await open_chat(service.server.url)
    chat.troubles.expect("status of 401")
    await chat.sign_in("gaa_wrong", "ada")
    await expect(chat.alert).to_be_visible()
    await assert_accessible(chat)
