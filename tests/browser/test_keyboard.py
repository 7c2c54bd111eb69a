"""The page without a mouse."""

from playwright.async_api import expect

from tests.browser.chat import Chat
from tests.model_server import Answer, ModelServerSimulation


async def test_asking_regenerating_and_switching_threads_need_no_mouse(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(*(Answer(text=f"Answer {name}.") for name in ("one", "two", "three")))
    keyboard = chat.page.keyboard
    await expect(chat.box).to_be_focused()
    await keyboard.type("The first thread")
    await keyboard.press("Shift+Enter")
    await keyboard.type("of two lines")
    await keyboard.press("Enter")
    await expect(chat.answers).to_contain_text(["Answer one."])
    await chat.answered()
    await expect(chat.box).to_be_focused()

    await chat.tab_to("Regenerate", "Shift+Tab")
    await keyboard.press("Enter")
    await expect(chat.answers).to_contain_text(["Answer two."])
    await chat.answered()

    await chat.tab_to("New chat", "Shift+Tab")
    await keyboard.press("Enter")
    await expect(chat.messages).to_have_count(0)
    await expect(chat.box).to_be_focused()
    await keyboard.type("The second thread")
    await keyboard.press("Enter")
    await expect(chat.answers).to_contain_text(["Answer three."])
    await chat.answered()

    await chat.tab_to("The first thread", "Shift+Tab")
    await keyboard.press("Enter")
    await expect(chat.answers).to_contain_text(["Answer two."])


async def test_the_delete_dialog_is_answered_and_left_by_keys(chat: Chat) -> None:
    await chat.ask("Keep me?")
    dialog = chat.page.get_by_role("dialog", name="Delete thread?")
    await chat.tab_to("Delete Keep me?", "Shift+Tab")
    await chat.page.keyboard.press("Enter")
    await expect(dialog).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(chat.button("Delete Keep me?")).to_be_focused()
    await chat.page.keyboard.press("Enter")
    await chat.tab_to("Delete")
    await chat.page.keyboard.press("Enter")
    await expect(chat.threads.get_by_role("link")).to_have_count(0)


async def test_an_edit_is_begun_given_up_and_sent_by_keys(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="Good."), Answer(text="Better."))
    await chat.ask("A typo")
    await chat.tab_to("Edit", "Shift+Tab")
    await chat.page.keyboard.press("Enter")
    editor = chat.page.get_by_role("textbox", name="Edit message")
    await expect(editor).to_be_focused()
    await chat.page.keyboard.press("Escape")
    await expect(editor).to_be_hidden()
    await expect(chat.button("Edit")).to_be_focused()
    await chat.page.keyboard.press("Enter")
    await editor.press("End")
    await chat.page.keyboard.type(" no more")
    await chat.page.keyboard.press("Enter")
    await expect(chat.messages).to_contain_text(["A typo no more", "Better."])


async def test_the_theme_is_chosen_and_kept(chat: Chat) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = await chat.page.evaluate(background)
    await chat.button("Theme").press("Enter")
    dark = await chat.page.evaluate(background)
    assert dark != light
    await chat.page.reload()
    assert await chat.page.evaluate(background) == dark
    await chat.button("Theme").click()
    assert await chat.page.evaluate(background) == light
