"""Everything of one user: search, export, erasure."""

import io
import json
import zipfile

import httpx2

from tests.api.helpers import ask, assert_problem, png
from tests.model_server import Answer, ModelServerSimulation


async def test_search_finds_all_words_and_only_this_users(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="The *quick* brown Füchse jump."), Answer(text="quick"))
    mine = await ask(client, "Tell me about animals")
    await client.post("/ask", json={"user_id": "bob", "prompt": "quick brown"})

    async def search(q: str, **params: int) -> list[str]:
        response = await client.get("/search/ada", params={"q": q, **params})
        assert response.status_code == 200, response.text
        return [result["message"]["content"] for result in response.json()["results"]]

    answer = "The *quick* brown Füchse jump."
    assert await search("quick brown") == [answer]
    assert await search("QUICK fü") == [answer]
    assert await search("anim") == ["Tell me about animals"]
    assert await search("quick animals") == []
    for syntax in (
        '" OR 1=1 --',
        "quick AND brown",
        "quick*",
        "content:quick",
        "NEAR(quick)",
        "' \\",
    ):
        response = await client.get("/search/ada", params={"q": syntax})
        assert response.status_code in {200, 422}
    result = (await client.get("/search/ada", params={"q": "brown"})).json()["results"][0]
    assert result["thread_title"] == "Tell me about animals"
    assert "brown" in result["snippet"]
    assert result["message"]["thread_id"] == mine["thread_id"]
    assert_problem(await client.get("/search/ada", params={"q": "!!"}), 422, "invalid_request")
    assert_problem(await client.get("/search/ada"), 422, "invalid_request")


async def test_search_pages_newest_first_and_forgets_what_is_deleted(
    client: httpx2.AsyncClient,
) -> None:
    threads = [(await ask(client, f"needle number{n}"))["thread_id"] for n in range(5)]
    await client.delete(f"/threads/ada/{threads[3]}")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"q": "needle", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/search/ada", params=params)).json()
        seen += [result["message"]["content"] for result in page["results"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ["needle number4", "needle number2", "needle number1", "needle number0"]


async def test_an_export_holds_all_of_a_user_and_nothing_of_another(
    client: httpx2.AsyncClient,
) -> None:
    asked = await client.post(
        "/ask",
        data={"user_id": "ada", "prompt": "Mine: marker-ada"},
        files={"file": ("cat.png", png())},
    )
    await client.post("/ask", json={"user_id": "bob", "prompt": "Theirs: marker-bob"})
    response = await client.get("/users/ada/export")
    assert response.headers["content-type"] == "application/zip"
    thread_id = asked.json()["thread_id"]
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == [
            "files.jsonl",
            "files/cat.png",
            "runs.jsonl",
            f"threads/{thread_id}.jsonl",
            "usage.jsonl",
            "user.json",
        ]
        everything = b"".join(archive.read(name) for name in archive.namelist())
        lines = archive.read(f"threads/{thread_id}.jsonl").splitlines()
    assert b"marker-ada" in everything
    assert b"marker-bob" not in everything
    thread, question, answer = (json.loads(line) for line in lines)
    assert thread["thread_id"] == thread_id
    assert question["content"] == "Mine: marker-ada"
    assert answer["reply_to"] == question["message_id"]
    assert_problem(await client.get("/users/nobody/export"), 404, "user_not_found")


async def test_an_erased_user_is_gone_with_everything(client: httpx2.AsyncClient) -> None:
    asked = await client.post(
        "/ask", data={"user_id": "ada", "prompt": "secretword"}, files={"file": ("a.png", png())}
    )
    url = asked.json()["user_message"]["files"][0]["url"]
    run_id = asked.json()["run"]["run_id"]
    await client.post("/ask", json={"user_id": "bob", "prompt": "secretword"})
    assert (await client.delete("/users/ada")).status_code == 204
    assert (await client.get("/threads/ada")).json()["threads"] == []
    assert (await client.get("/search/ada", params={"q": "secretword"})).json()["results"] == []
    assert_problem(await client.get(url), 404, "file_not_found")
    assert_problem(await client.get(f"/runs/{run_id}"), 404, "run_not_found")
    assert_problem(await client.get("/users/ada/export"), 404, "user_not_found")
    assert_problem(await client.delete("/users/ada"), 404, "user_not_found")
    found = (await client.get("/search/bob", params={"q": "secretword"})).json()["results"]
    assert len(found) == 1
