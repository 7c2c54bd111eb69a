"""What a first visit costs."""

import gzip

from playwright.async_api import Response, expect

from tests.browser.chat import Chat

MAX_BYTES = 60_000


async def test_a_first_visit_loads_less_than_60_kilobytes(chat: Chat) -> None:
    responses: list[Response] = []

    def note(response: Response) -> None:
        responses.append(response)  # the method itself does not take the mark Playwright puts on it

    page = await chat.page.context.new_page()
    page.on("response", note)
    await page.goto(chat.url)
    await expect(page.get_by_role("textbox", name="Message", exact=True)).to_be_visible()
    sizes = {
        response.url.removeprefix(chat.url): len(gzip.compress(await response.body(), mtime=0))
        for response in responses
        if response.request.resource_type in {"document", "script", "stylesheet", "image"}
    }
    assert {"/", "/assets/chat/style.css", "/assets/chat/modules/main.js"} <= set(sizes)
    assert sum(sizes.values()) < MAX_BYTES, sizes
