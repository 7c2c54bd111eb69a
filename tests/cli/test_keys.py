"""`keys`: made, shown once, asked for, listed, revoked."""

from pathlib import Path

import httpx2

from .programs import run, serving


def test_a_key_is_shown_once_and_from_then_on_asked_for(tmp_path: Path) -> None:
    made = run(tmp_path, "keys", "create", "app")
    secret = made.out.strip()
    assert (made.status, made.out) == (0, f"{secret}\n")
    assert "must be started again" in made.err
    with serving(tmp_path) as server:
        url = f"{server.url}/threads/ada"
        assert "Authorization: Bearer $KEY" in server.curl
        assert httpx2.get(url).status_code == 401
        headers = {"Authorization": f"Bearer {secret}"}
        assert httpx2.get(url, headers=headers).status_code == 200
        asked = run(tmp_path, "ask", "Hello!", "--url", server.url, GPT_ASSISTANT_API_KEY=secret)
        assert (asked.status, "offline assistant" in asked.out) == (0, True)
        refused = run(tmp_path, "ask", "Hello!", "--url", server.url)
        assert (refused.status, refused.out) == (1, "")
        assert "(credentials_missing)" in refused.err


def test_keys_are_listed_without_their_secrets_and_revoked_by_id(tmp_path: Path) -> None:
    assert "no keys" in run(tmp_path, "keys", "list").out
    secret = run(tmp_path, "keys", "create", "[red] app").out.strip()
    second = run(tmp_path, "keys", "create", "other")
    assert "must be started again" not in second.err
    listed = run(tmp_path, "keys", "list").out
    assert "[red] app" in listed
    assert secret[:8] not in listed
    key_id = next(word for word in listed.split() if word.startswith("key_"))
    assert run(tmp_path, "keys", "revoke", key_id).status == 0
    again = run(tmp_path, "keys", "revoke", key_id)
    assert (again.status, again.err.count("(key_not_found)")) == (1, 1)
