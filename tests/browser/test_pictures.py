"""Pictures on their way in, in the conversation, and out again."""

import io
import zipfile
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, expect

from tests.api.helpers import png
from tests.browser.chat import Chat
from tests.model_server import ModelServerSimulation

CAT = FilePayload(name="cat.png", mimeType="image/png", buffer=png("red", (60, 40)))
DOG = FilePayload(name="dog.png", mimeType="image/png", buffer=png("blue", (40, 60)))
NO_PICTURE = FilePayload(name="notes.png", mimeType="image/png", buffer=b"My secret diary.")


async def by_button(chat: Chat, file: FilePayload) -> None:
    await chat.attach(file)


async def by_dragging(chat: Chat, file: FilePayload) -> None:
    transfer = await chat.transfer_of(file)
    for event in ("dragenter", "dragover", "drop"):
        await chat.log.dispatch_event(event, {"dataTransfer": transfer})


async def by_pasting(chat: Chat, file: FilePayload) -> None:
    await chat.box.focus()
    await (await chat.transfer_of(file)).evaluate(
        "transfer => document.activeElement.dispatchEvent(new ClipboardEvent('paste',"
        " { clipboardData: transfer, bubbles: true, cancelable: true }))"
    )


@pytest.mark.parametrize("attach", [by_button, by_dragging, by_pasting])
async def test_a_picture_is_attached_sent_and_shown(
    chat: Chat, upstream: ModelServerSimulation, attach: object
) -> None:
    assert callable(attach)
    await attach(chat, CAT)
    await expect(chat.button("Remove cat.png")).to_be_visible()
    await chat.ask("What is this?")
    await expect(chat.button("Remove cat.png")).to_be_hidden()
    picture = chat.questions.last.locator("img")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    [(media_type, _)] = upstream.requests[-1].pictures
    assert media_type == "image/png"


async def test_a_picture_alone_is_a_question(chat: Chat, upstream: ModelServerSimulation) -> None:
    await chat.attach(CAT)
    await chat.button("Send").click()
    await chat.answered()
    assert len(upstream.requests[-1].pictures) == 1


async def test_a_removed_picture_is_not_sent(chat: Chat, upstream: ModelServerSimulation) -> None:
    await chat.attach(CAT, DOG)
    await chat.button("Remove cat.png").click()
    await expect(chat.button("Remove cat.png")).to_be_hidden()
    await chat.ask("What is this?")
    assert len(upstream.requests[-1].pictures) == 1
    await expect(chat.button("Enlarge dog.png")).to_be_visible()


async def test_what_is_not_a_picture_is_refused_in_words_and_in_no_ones_way(
    chat: Chat, upstream: ModelServerSimulation
) -> None:
    chat.troubles.expect("status of 4(15|22)")
    await chat.attach(NO_PICTURE)
    await expect(chat.alert).to_contain_text("JPEG, PNG, GIF")
    await expect(chat.button("Send")).to_be_disabled()
    await chat.attach(CAT)
    await chat.ask("And this?")
    assert len(upstream.requests[-1].pictures) == 1
    await expect(chat.alert).to_be_hidden()


async def test_a_picture_is_enlarged_and_closed_again(chat: Chat) -> None:
    await chat.attach(CAT)
    await chat.ask("What is this?")
    dialog = chat.page.get_by_role("dialog", name="Picture")
    await chat.questions.last.locator("img").click()
    await expect(dialog).to_be_visible()
    width = "image => image.decode().then(() => image.naturalWidth)"
    assert await dialog.get_by_role("img", name="cat.png").evaluate(width) == 60
    await chat.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(chat.button("Enlarge cat.png")).to_be_focused()


async def test_all_files_of_a_thread_are_downloaded_as_one_archive(
    chat: Chat, tmp_path: Path
) -> None:
    download = chat.button("Download all files")
    await chat.ask("No picture yet.")
    await expect(download).to_be_hidden()
    await chat.attach(CAT, DOG)
    await chat.ask("Two pets: {1/2}?")
    async with chat.page.expect_download() as downloading:
        await download.click()
    saved = tmp_path / "saved.zip"
    await (await downloading.value).save_as(saved)
    with zipfile.ZipFile(io.BytesIO(saved.read_bytes())) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert sorted(Path(name).suffix for name in names if "json" not in name) == [".png"] * 2
