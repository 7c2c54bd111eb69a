"""What somebody wrote is never code in a real browser, wherever the page shows it.

Every page of these tests is watched: a dialog, a request to anywhere else, or a breach of the
content security policy, which would be said in the console, fails the test that it happens in.
"""

from pathlib import Path

from playwright.async_api import FilePayload, expect

from tests.api.helpers import png
from tests.browser.chat import Chat
from tests.browser.conftest import OpenChat
from tests.browser.rows import insert_conversation, insert_threads
from tests.markup.payloads import PAYLOADS
from tests.model_server import Answer, ModelServerSimulation
from tests.server import RunningServer

ATTACKS = [
    payload.replace("alert(1)", "alert(window.__xss=1)").replace("=1>", "=alert(window.__xss=1)>")
    for payload in PAYLOADS
]
ELEMENTS = "script, iframe, object, embed, base, meta[http-equiv], style, link:not(head *), video"
HANDLERS = """
() => [...document.querySelectorAll('*')].flatMap(element =>
  element.getAttributeNames().filter(name => name.startsWith('on')))
"""
LINKS = """
() => [...document.querySelectorAll('article a[href]')].filter(link =>
  !['http:', 'https:', 'mailto:'].includes(link.protocol) || link.rel !== 'noopener noreferrer')
  .map(link => link.outerHTML)
"""


async def assert_nothing_ran(chat: Chat) -> None:
    """Check that what is on the page did nothing and cannot."""
    await chat.page.evaluate("new Promise(done => setTimeout(done))")
    assert await chat.page.evaluate("window.__xss") is None
    assert await chat.page.locator(f"body :is({ELEMENTS})").count() == 0
    assert await chat.page.evaluate(HANDLERS) == []
    assert await chat.page.evaluate(LINKS) == []


async def test_prompts_and_answers_are_never_code(
    server: RunningServer, open_chat: OpenChat, sqlite_file: Path
) -> None:
    contents = [attack for attack in ATTACKS for _ in range(2)]
    thread_id = insert_conversation(sqlite_file, ATTACKS[0], contents)
    chat = await open_chat(server.url, f"/#/t/{thread_id}")
    await expect(chat.messages.first).to_be_attached()
    while (shown := await chat.messages.count()) < len(contents):
        await chat.messages.first.scroll_into_view_if_needed()
        await expect(chat.messages).not_to_have_count(shown)
    await assert_nothing_ran(chat)
    shown_prompts = await chat.questions.locator("[dir=auto]").evaluate_all(
        "parts => parts.map(part => part.textContent).filter(Boolean)"
    )
    assert shown_prompts == ATTACKS


async def test_titles_are_never_code(
    server: RunningServer, open_chat: OpenChat, sqlite_file: Path
) -> None:
    titles = [" ".join(attack.split()) for attack in ATTACKS if "\x00" not in attack][:90]
    insert_threads(sqlite_file, titles)
    chat = await open_chat(server.url)
    links = chat.threads.get_by_role("link")
    await expect(links.first).to_be_visible()
    await chat.threads.hover()
    while (shown := await links.count()) < len(titles):
        await chat.page.mouse.wheel(0, 10_000)
        await expect(links).not_to_have_count(shown)
    assert await links.all_text_contents() == titles[::-1]
    await links.last.click()
    await chat.threads.get_by_role("button", name="Delete").last.click()
    dialog = chat.page.get_by_role("dialog", name="Delete thread?")
    await expect(dialog).to_contain_text(titles[0])
    await assert_nothing_ran(chat)


async def test_an_answer_is_never_code_while_it_grows(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    text = "\n\n".join([*ATTACKS, "The end."])
    upstream.script(Answer(text=text, pieces=97, delay_seconds=0.004))
    await chat.send(ATTACKS[3])
    await expect(chat.answers).to_have_count(1)
    while await chat.answers.last.get_attribute("data-status") == "in_progress":
        await assert_nothing_ran(chat)
    await chat.answered()
    await assert_nothing_ran(chat)


async def test_names_of_files_and_found_words_are_never_code(chat: Chat) -> None:
    names = [f"{attack[:60]}.png".replace("/", ":") for attack in ATTACKS[3:10]]
    await chat.attach(*(
        FilePayload(name=name, mimeType="image/png", buffer=png()) for name in names
    ))  # fmt: skip
    for name in names:
        await expect(chat.button(f"Remove {name}")).to_be_visible()
    await chat.ask(ATTACKS[3])
    await chat.page.get_by_role("searchbox", name="Search").fill("onerror")
    await expect(chat.page.get_by_role("link").filter(has_text=ATTACKS[3]).first).to_be_visible()
    await chat.button("Reply", chat.questions.last).click()
    await chat.questions.last.locator("img").first.click()
    await expect(chat.page.get_by_role("dialog", name="Picture")).to_be_visible()
    await assert_nothing_ran(chat)
