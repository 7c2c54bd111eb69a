"""Who uses the page, where the server wants to know that."""

import pytest
from playwright.async_api import expect

from tests.api.credentials import Service, make_token
from tests.browser.chat import Chat
from tests.browser.conftest import OpenChat

STORED = "storage => JSON.stringify({ ...window[storage] })"


async def assert_kept_in_this_tab_alone(chat: Chat, credential: str) -> None:
    """Check that the credential is in sessionStorage and nowhere else."""
    assert credential in await chat.page.evaluate(STORED, "sessionStorage")
    assert credential not in await chat.page.evaluate(STORED, "localStorage")
    assert credential not in await chat.page.content()
    assert credential not in chat.page.url
    assert await chat.page.context.cookies() == []
    values = "() => [...document.querySelectorAll('input')].map(input => input.value)"
    assert credential not in await chat.page.evaluate(values)


@pytest.mark.parametrize("kind", ["key", "token"])
async def test_who_signs_in_is_kept_through_a_reload_and_gone_after_signing_out(
    service: Service, open_chat: OpenChat, kind: str
) -> None:
    credential = service.key if kind == "key" else make_token("ada")
    chat = await open_chat(service.server.url)
    await expect(chat.box).to_be_hidden()
    await chat.sign_in(credential, "ada" if kind == "key" else None)
    await chat.ask("Who am I?")
    await assert_kept_in_this_tab_alone(chat, credential)
    await chat.page.reload()
    await expect(chat.questions).to_contain_text(["Who am I?"])
    await assert_kept_in_this_tab_alone(chat, credential)

    await chat.button("Sign out").click()
    await expect(chat.button("Sign in")).to_be_visible()
    await expect(chat.page.get_by_text("Who am I?")).to_be_hidden()
    assert credential not in await chat.page.evaluate(STORED, "sessionStorage")
    assert credential not in await chat.page.evaluate(STORED, "localStorage")
    assert "Who am I?" not in await chat.page.content()
    await chat.page.reload()
    await expect(chat.button("Sign in")).to_be_visible()


async def test_a_wrong_credential_is_refused_and_not_kept(
    service: Service, open_chat: OpenChat
) -> None:
    chat = await open_chat(service.server.url)
    chat.troubles.expect("status of 401")
    await chat.sign_in(service.revoked, "ada")
    await expect(chat.alert).to_be_visible()
    assert await chat.page.evaluate("sessionStorage.length") == 0
    await chat.sign_in(service.key, "ada")
    await expect(chat.box).to_be_visible()


async def test_a_credential_that_is_no_longer_valid_leads_back_to_signing_in(
    service: Service, open_chat: OpenChat
) -> None:
    chat = await open_chat(service.server.url)
    chat.troubles.expect("status of 401")
    await chat.sign_in(make_token("ada"))
    await chat.ask("Still here?")
    expired = make_token("ada", exp=1_000_000_000)
    await chat.page.evaluate("token => sessionStorage.setItem('credential', token)", expired)
    await chat.page.reload()
    await expect(chat.button("Sign in")).to_be_visible()
    await expect(chat.alert).to_be_visible()
    assert expired not in await chat.page.evaluate(STORED, "sessionStorage")


async def test_each_user_sees_their_own_threads(service: Service, open_chat: OpenChat) -> None:
    chat = await open_chat(service.server.url)
    await chat.sign_in(make_token("ada"))
    await chat.ask("Ada's question")
    await chat.box.fill("Ada's second thoughts")
    await chat.button("New chat").click()
    await chat.box.fill("Ada's new thoughts")
    await chat.button("Sign out").click()
    await chat.sign_in(make_token("bob"))
    await expect(chat.box).to_have_value("")
    await chat.ask("Bob's question")
    await expect(chat.threads.get_by_role("link")).to_have_text(["Bob's question"])
