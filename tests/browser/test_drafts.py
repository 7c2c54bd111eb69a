"""What is being written belongs to its thread, whatever is shown meanwhile."""

import asyncio

from playwright.async_api import FilePayload, Route, expect

from tests.api.helpers import png
from tests.browser.chat import Chat
from tests.model_server import ModelServerSimulation

CAT = FilePayload(name="cat.png", mimeType="image/png", buffer=png())


async def test_what_is_written_is_kept_for_its_thread(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    await chat.ask("The first")
    await chat.button("Reply", chat.answers.last).click()
    await chat.attach(CAT)
    await chat.box.fill("half a sentence")
    await chat.button("New chat").click()
    await expect(chat.box).to_have_value("")
    await expect(chat.button("Remove quote")).to_be_hidden()
    await expect(chat.button("Remove cat.png")).to_be_hidden()
    await chat.ask("The second")
    assert upstream.requests[-1].pictures == []

    await chat.thread("The first").click()
    await expect(chat.button("Remove quote")).to_be_visible()
    await expect(chat.box).to_have_value("half a sentence")
    await chat.button("Send").click()
    await expect(chat.questions.last).to_contain_text("half a sentence")
    await chat.answered()
    assert len(upstream.requests[-1].pictures) == 1
    await expect(chat.box).to_have_value("")
    await expect(chat.button("Remove cat.png")).to_be_hidden()


async def test_what_is_sent_while_a_picture_is_still_on_its_way_goes_where_it_was_written(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        await arrived.wait()
        await route.continue_()

    await chat.page.route("**/upload-file", hold)
    await chat.ask("The first")
    await chat.attach(CAT)
    await expect(chat.page.get_by_role("progressbar", name="Upload of cat.png")).to_be_visible()
    await chat.send("What is this?")
    await chat.button("New chat").click()
    await expect(chat.messages).to_have_count(0)
    arrived.set()
    await upstream.wait_for_request(2)
    await expect(chat.box).to_be_editable()
    await expect(chat.messages).to_have_count(0)
    await chat.thread("The first").click()
    await expect(chat.questions.last).to_contain_text("What is this?")
    await expect(chat.button("Enlarge cat.png")).to_be_visible()
    await expect(chat.box).to_have_value("")
