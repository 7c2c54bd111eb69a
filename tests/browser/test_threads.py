"""The list of threads, search, addresses, and threads of any length."""

from pathlib import Path

import httpx2
from playwright.async_api import expect

from tests.api.helpers import ask
from tests.browser.chat import USER, Chat
from tests.browser.conftest import OpenChat
from tests.browser.rows import insert_conversation, insert_threads
from tests.model_server import Answer, ModelServerSimulation
from tests.server import RunningServer


async def test_a_thread_is_renamed_in_its_place(chat: Chat, client: httpx2.AsyncClient) -> None:
    await chat.ask("Old name")
    await chat.thread("Old name").hover()
    await chat.button("Rename Old name").click()
    title = chat.page.get_by_role("textbox", name="Title")
    await expect(title).to_have_value("Old name")
    await title.fill("Not this")
    await title.press("Escape")
    await expect(chat.thread("Old name")).to_be_visible()
    await chat.button("Rename Old name").click()
    await title.fill("New name")
    await title.press("Enter")
    await expect(chat.thread("New name")).to_be_visible()
    await expect(chat.page.get_by_role("heading", name="New name")).to_be_visible()
    await chat.page.reload()
    await expect(chat.thread("New name")).to_be_visible()
    [thread] = (await client.get(f"/threads/{USER}")).json()["threads"]
    assert thread["title"] == "New name"


async def test_a_thread_is_deleted_once_that_is_confirmed(
    chat: Chat, client: httpx2.AsyncClient
) -> None:
    await chat.ask("Keep me?")
    dialog = chat.page.get_by_role("dialog", name="Delete thread?")
    for answer, left in [("Cancel", 1), ("Delete", 0)]:
        await chat.thread("Keep me?").hover()
        await chat.button("Delete Keep me?").click()
        await chat.button(answer, dialog).click()
        await expect(dialog).to_be_hidden()
        await expect(chat.threads.get_by_role("link")).to_have_count(left)
        assert len((await client.get(f"/threads/{USER}")).json()["threads"]) == left
    await expect(chat.messages).to_have_count(0)
    await chat.ask("A new one")


async def test_search_leads_to_the_message_that_has_the_words(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="Whales sing."), Answer(text="Birds do."))
    await chat.ask("Who sings in the sea?")
    await chat.button("New chat").click()
    await chat.ask("Who sings in the air?")
    search = chat.page.get_by_role("searchbox", name="Search")
    await search.fill("whales")
    found = chat.page.get_by_role("link").filter(has_text="Whales sing.")
    await expect(found).to_contain_text("Who sings in the sea?")
    await expect(found.locator("mark")).to_have_text(["Whales"])
    await found.click()
    await expect(chat.messages).to_contain_text(["Who sings in the sea?", "Whales sing."])
    await expect(chat.answers.last).to_be_in_viewport()
    await search.fill("no such word")
    await expect(chat.page.get_by_text("Nothing was found.")).to_be_visible()
    await search.press("Escape")
    await expect(chat.thread("Who sings in the air?")).to_be_visible()
    await search.fill("whales")
    await chat.button("Clear search").click()
    await expect(search).to_have_value("")
    await expect(search).to_be_focused()
    await expect(chat.button("Clear search")).to_be_hidden()


async def test_what_was_found_is_shown_again_when_it_is_chosen_again(
    server: RunningServer, open_chat: OpenChat, sqlite_file: Path
) -> None:
    contents = [f"Message {number}.\n\n" + "Much text. " * 60 for number in range(30)]
    insert_conversation(sqlite_file, "Long", contents)
    chat = await open_chat(server.url)
    await chat.page.get_by_role("searchbox", name="Search").fill("message 3")
    found = chat.page.get_by_role("link").filter(has_text="Message 3.")
    for _ in range(2):
        await found.click()
        await expect(chat.messages.nth(3)).to_be_in_viewport()
        await chat.button("Jump to latest").click()
        await expect(chat.messages.nth(3)).not_to_be_in_viewport()


async def test_addresses_lead_to_threads_and_back_and_forward_work(
    server: RunningServer,
    open_chat: OpenChat,
    client: httpx2.AsyncClient,
) -> None:
    first = (await ask(client, "The first", user_id=USER))["thread_id"]
    second = (await ask(client, "The second", user_id=USER))["thread_id"]
    chat = await open_chat(server.url, f"/#/t/{first}")
    await expect(chat.questions).to_contain_text(["The first"])
    await chat.thread("The second").click()
    await expect(chat.questions).to_contain_text(["The second"])
    await expect(chat.page).to_have_url(f"{server.url}/#/t/{second}")
    await chat.button("New chat").click()
    await expect(chat.messages).to_have_count(0)
    await chat.page.go_back()
    await expect(chat.questions).to_contain_text(["The second"])
    await chat.page.go_back()
    await expect(chat.questions).to_contain_text(["The first"])
    await expect(chat.thread("The first")).to_have_attribute("aria-current", "page")
    await chat.page.go_forward()
    await expect(chat.questions).to_contain_text(["The second"])


async def test_an_address_of_nothing_is_said_to_be_one(
    server: RunningServer, open_chat: OpenChat
) -> None:
    chat = await open_chat(server.url, f"/#/t/thread_{'0' * 32}")
    chat.troubles.expect("status of 404")
    await expect(chat.alert).to_contain_text("thread")
    await chat.button("New chat").click()
    await expect(chat.alert).to_be_hidden()


async def test_all_threads_come_while_their_list_is_scrolled(
    server: RunningServer, open_chat: OpenChat, sqlite_file: Path
) -> None:
    insert_threads(sqlite_file, [f"Thread {number}" for number in range(60)])
    chat = await open_chat(server.url)
    links = chat.threads.get_by_role("link")
    await expect(chat.thread("Thread 59")).to_be_visible()
    assert await links.count() < 60
    await chat.threads.hover()
    while await links.count() < 60:
        shown = await links.count()
        await chat.page.mouse.wheel(0, 10_000)
        await expect(links).not_to_have_count(shown)
    assert await links.all_text_contents() == [f"Thread {n}" for n in range(59, -1, -1)]


async def test_a_thread_of_10000_messages_loads_as_it_is_read(
    server: RunningServer, open_chat: OpenChat, sqlite_file: Path
) -> None:
    contents = [
        f"Message {number} says something.\n\n- of some\n- length" for number in range(10_000)
    ]
    thread_id = insert_conversation(sqlite_file, "Long", contents)
    chat = await open_chat(server.url, f"/#/t/{thread_id}")
    await expect(chat.messages.last).to_contain_text("Message 9999 says")
    await expect(chat.messages.last).to_be_in_viewport()
    ids = "articles => articles.map(article => Number(article.dataset.messageId))"
    shown: list[int] = await chat.messages.evaluate_all(ids)
    for _ in range(3):
        top = chat.page.locator(f'article[data-message-id="{shown[0]}"]')
        await top.scroll_into_view_if_needed()
        await expect(chat.messages).not_to_have_count(len(shown))
        await expect(top).to_be_in_viewport()
        shown = await chat.messages.evaluate_all(ids)
        assert shown == list(range(shown[0], 10_001))
    assert len(shown) < 1_000

    await chat.open(f"/#/t/{thread_id}/7000")  # as a result of the search leads there
    found = chat.page.locator('article[data-message-id="7000"]')
    await expect(found).to_be_in_viewport(timeout=60_000)
    await expect(found).to_be_focused()
    assert await chat.messages.count() < 4_000
