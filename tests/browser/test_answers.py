"""Asking, and what can be done with an answer."""

import pytest
from playwright.async_api import expect

from tests.browser.chat import Chat
from tests.model_server import Answer, ModelServerSimulation

MARKDOWN = """\
Some **colours**:

| name | wave |
|------|-----:|
| blue | 450 |

- short
- long

```python
def scatter(wave: int) -> str:
    return "blue"
```

The end.
"""
LONG = "\n\n".join(f"Paragraph {number} of a long answer." for number in range(80))


async def test_an_answer_streams_in_as_markdown(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text=MARKDOWN, pause_after=6))
    await chat.send("Which colours are there?")
    answer = chat.answers.last
    await expect(answer.locator("strong")).to_have_text("colours")
    await expect(answer).to_have_attribute("data-status", "in_progress")
    await expect(answer).not_to_contain_text("The end.")
    upstream.release()
    await chat.answered()
    await expect(answer.get_by_role("cell", name="450")).to_be_visible()
    await expect(answer.get_by_role("listitem")).to_have_text(["short", "long"])
    keyword = answer.locator("code span", has_text="def").first
    assert await keyword.evaluate("e => getComputedStyle(e).color") != await answer.locator(
        "code"
    ).evaluate("e => getComputedStyle(e).color")
    await expect(answer).to_contain_text("The end.")
    await expect(chat.thread("Which colours are there?")).to_be_visible()
    await expect(chat.page).to_have_title("Which colours are there? · GPT Assistant")


async def test_what_has_arrived_is_left_alone_while_the_answer_grows(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text=LONG, pieces=40, pause_after=30))
    await chat.send("Say much.")
    first = chat.answers.last.get_by_text("Paragraph 0 of")
    await expect(chat.answers.last).to_contain_text("Paragraph 20")
    await first.evaluate("element => getSelection().selectAllChildren(element)")
    upstream.release()
    await chat.answered()
    await expect(chat.answers.last).to_contain_text("Paragraph 79")
    assert await chat.page.evaluate("`${getSelection()}`") == "Paragraph 0 of a long answer."


@pytest.mark.parametrize(
    ("name", "copied"),
    [
        ("Copy", MARKDOWN),
        ("Copy code", 'def scatter(wave: int) -> str:\n    return "blue"\n'),
    ],
)
async def test_answers_and_their_code_are_copied(
    chat: Chat, upstream: ModelServerSimulation, name: str, copied: str
) -> None:
    await chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    upstream.script(Answer(text=MARKDOWN))
    await chat.ask("Show me code.")
    await chat.button(name, chat.answers.last).click()
    await expect(chat.page.get_by_text("Copied", exact=True)).to_be_attached()
    await chat.box.press("Control+v")
    await expect(chat.box).to_have_value(copied)


async def test_stop_keeps_what_was_said_so_far(chat: Chat, upstream: ModelServerSimulation) -> None:
    upstream.script(Answer(text="One two three four.", pieces=["One two", " three four."],
                           pause_after=1))  # fmt: skip
    await chat.send("Count.")
    await expect(chat.answers.last).to_contain_text("One two")
    await chat.button("Stop").click()
    await expect(chat.answers.last).to_have_attribute("data-status", "incomplete")
    await expect(chat.answers.last).to_contain_text("One two")
    assert await upstream.requests[-1].wait_closed()
    await chat.page.reload()
    await expect(chat.answers.last).to_contain_text("One two")
    await chat.ask("Go on.")


async def test_a_regenerated_answer_leaves_the_first_one_to_be_chosen(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="First."), Answer(text="Second."))
    await chat.ask("Which?")
    await chat.button("Regenerate", chat.answers.last).click()
    await expect(chat.answers).to_contain_text(["Second."])
    await chat.answered()
    versions = chat.answers.last.get_by_test_id("versions")
    await expect(versions).to_have_text("2/2")
    await expect(chat.button("Next version")).to_be_disabled()
    await chat.button("Previous version", chat.answers.last).click()
    await expect(chat.answers).to_contain_text(["First."])
    await expect(versions).to_have_text("1/2")
    await chat.page.reload()
    await expect(chat.answers).to_contain_text(["First."])
    await chat.button("Next version", chat.answers.last).click()
    await expect(chat.answers).to_contain_text(["Second."])


async def test_an_edited_prompt_begins_a_branch_and_the_old_one_stays(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(*(Answer(text=f"Answer {name}.") for name in ("one", "two", "three")))
    await chat.ask("Question one?")
    await chat.ask("Question two?")
    await chat.button("Edit", chat.questions.first).click()
    editor = chat.page.get_by_role("textbox", name="Edit message")
    await expect(editor).to_have_value("Question one?")
    await editor.fill("Thrown away")
    await chat.button("Cancel", chat.questions.first).click()
    await expect(chat.questions.first).to_contain_text("Question one?")

    await chat.button("Edit", chat.questions.first).click()
    await editor.fill("Question three?")
    await chat.button("Save and ask").click()
    await expect(chat.messages).to_contain_text(["Question three?", "Answer three."])
    await chat.answered()
    await expect(chat.questions.first.get_by_test_id("versions")).to_have_text("2/2")
    assert "Question two?" not in str(upstream.requests[-1].body)

    await chat.button("Previous version", chat.questions.first).click()
    await expect(chat.messages).to_contain_text(
        ["Question one?", "Answer one.", "Question two?", "Answer two."]
    )
    await chat.button("Next version", chat.questions.first).click()
    await expect(chat.messages).to_contain_text(["Question three?", "Answer three."])


async def test_a_reply_carries_a_quote_that_leads_to_what_it_quotes(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(
        Answer(text="A **memorable** sentence."), Answer(text=LONG), Answer(text="Yes.")
    )
    await chat.ask("Say something.")
    await chat.ask("Say much.")
    await chat.button("Reply", chat.answers.first).click()
    await expect(chat.box).to_be_focused()
    await chat.button("Remove quote").click()
    await expect(chat.button("Remove quote")).to_be_hidden()
    await chat.button("Reply", chat.answers.first).click()
    await chat.ask("Is this true?")
    assert "A **memorable** sentence." in str(upstream.requests[-1].body["input"][-1])
    await expect(chat.button("Remove quote")).to_be_hidden()
    await expect(chat.answers.first).not_to_be_in_viewport()
    await chat.button("A memorable sentence.", chat.questions.last).click()
    await expect(chat.answers.first).to_be_in_viewport()


async def test_the_page_stays_at_the_end_only_for_a_reader_who_is_there(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text=LONG, pieces=200, pause_after=6))
    await chat.send("Say much.")
    await expect(chat.answers.last).to_contain_text("Paragraph 20")
    await expect(chat.button("Jump to latest")).to_be_hidden()
    await chat.log.hover()
    await chat.page.mouse.wheel(0, -100_000)
    await expect(chat.questions.last).to_be_in_viewport()
    upstream.release()
    await chat.answered()
    await expect(chat.questions.last).to_be_in_viewport()
    last = chat.page.get_by_text("Paragraph 79 of a long answer.")
    await expect(last).not_to_be_in_viewport()
    await chat.button("Jump to latest").click()
    await expect(last).to_be_in_viewport()
    await expect(chat.button("Jump to latest")).to_be_hidden()

    upstream.script(Answer(text=LONG.replace("79", "last")))
    await chat.ask("Again.")
    await expect(chat.page.get_by_text("Paragraph last of")).to_be_in_viewport()


async def test_each_text_has_its_own_direction(chat: Chat, upstream: ModelServerSimulation) -> None:
    upstream.script(Answer(text="שלום עולם\n\n```\ncode\n```"), Answer(text="Hello."))
    direction = "element => getComputedStyle(element).direction"
    await chat.ask("مرحبا بالعالم")
    assert await chat.questions.last.get_by_text("مرحبا").evaluate(direction) == "rtl"
    assert await chat.answers.last.get_by_text("שלום").evaluate(direction) == "rtl"
    assert await chat.answers.last.locator("pre").evaluate(direction) == "ltr"
    title = chat.thread("مرحبا بالعالم").get_by_text("مرحبا")
    assert await title.evaluate(direction) == "rtl"
    text, rename = (
        await title.bounding_box(),
        await chat.button("Rename مرحبا بالعالم").bounding_box(),
    )
    assert text
    assert rename
    assert text["x"] + text["width"] <= rename["x"]
    await chat.ask("And in English?")
    assert await chat.answers.last.get_by_text("Hello.").evaluate(direction) == "ltr"


async def test_what_is_shown_is_what_is_stored(chat: Chat, upstream: ModelServerSimulation) -> None:
    prompt = "  Zwei  Leerzeichen,\n\n\nдве строки & <b>ein</b> Tag 🌈"
    upstream.script(Answer(text="Gut."))
    await chat.send(prompt)
    await chat.answered()
    assert await chat.questions.last.get_by_text("Zwei").evaluate("e => e.textContent") == prompt
    assert upstream.requests[-1].body["input"][-1]["content"] == prompt
