"""Threads: lists, pages, branches, names, deletion."""

import io
import zipfile
from typing import Any

import httpx2

from tests.api.helpers import ask, assert_problem, messages_of, png
from tests.model_server import Answer, ModelServerSimulation


async def pages(client: httpx2.AsyncClient, path: str, name: str, **params: Any) -> list[list[Any]]:
    """Return all pages of a list."""
    found: list[list[Any]] = []
    cursor: str | None = None
    while True:
        response = await client.get(path, params=params | ({"cursor": cursor} if cursor else {}))
        assert response.status_code == 200, response.text
        found.append(response.json()[name])
        cursor = response.json()["next_cursor"]
        if cursor is None:
            return found


async def test_threads_are_listed_by_their_newest_activity(client: httpx2.AsyncClient) -> None:
    made = [(await ask(client, f"Question {number}"))["thread_id"] for number in range(5)]
    await ask(client, "Again", thread_id=made[0])
    expected = [made[0], made[4], made[3], made[2], made[1]]
    listed = await pages(client, "/threads/ada", "threads", limit=2)
    assert [[thread["thread_id"] for thread in page] for page in listed] == [
        expected[0:2],
        expected[2:4],
        expected[4:5],
    ]
    thread = listed[0][0]
    assert thread == {
        "thread_id": made[0],
        "user_id": "ada",
        "title": "Question 0",
        "head_id": thread["head_id"],
        "active_run_id": None,
        "created_at": thread["created_at"],
        "updated_at": thread["updated_at"],
    }
    assert (await client.get("/threads/nobody")).json() == {"threads": [], "next_cursor": None}


async def test_a_page_without_a_cursor_is_the_newest_and_each_is_oldest_first(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.default = Answer(text="ok")
    thread_id = None
    for number in range(4):
        thread: dict[str, Any] = {"thread_id": thread_id} if thread_id else {}
        thread_id = (await ask(client, f"q{number}", **thread))["thread_id"]
    for branch in ("active", "all"):
        found = await pages(client, f"/threads/ada/{thread_id}", "messages", limit=3, branch=branch)
        assert [[message["content"] for message in page] for page in found] == [
            ["ok", "q3", "ok"],
            ["q1", "ok", "q2"],
            ["q0", "ok"],
        ]


async def test_cursors_of_other_lists_and_nonsense_are_refused(client: httpx2.AsyncClient) -> None:
    for _ in range(2):
        thread_id = (await ask(client))["thread_id"]
    of_threads = (await client.get("/threads/ada", params={"limit": 1})).json()["next_cursor"]
    path = f"/threads/ada/{thread_id}"
    of_messages = (await client.get(path, params={"limit": 1})).json()["next_cursor"]
    assert of_threads and of_messages  # noqa: PT018
    for cursor in (of_messages, "x", "bTE=", "AAAA", "bTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ", "ä"):
        response = await client.get("/threads/ada", params={"cursor": cursor})
        assert_problem(response, 422, "invalid_cursor")
    assert_problem(await client.get(path, params={"cursor": of_threads}), 422, "invalid_cursor")


async def test_a_thread_is_renamed_exactly_or_not_at_all(client: httpx2.AsyncClient) -> None:
    path = f"/threads/ada/{(await ask(client))['thread_id']}"
    title = "Ünïcode \u202e \U0001f30d <b>"
    renamed = await client.patch(path, json={"title": title})
    assert renamed.json()["title"] == title
    assert (await client.get(path)).json()["thread"]["title"] == title
    for bad in ("", "   ", "x" * 201, "a\x00b"):
        assert_problem(await client.patch(path, json={"title": bad}), 422, "invalid_request")
    assert_problem(await client.patch(path, json={"name": "x"}), 422, "invalid_request")
    assert_problem(await client.patch(path, json={"head_id": 999_999}), 404, "message_not_found")
    assert_problem(await client.patch(path, content=b"{"), 415, "media_type_unsupported")
    broken = await client.patch(path, content=b"{", headers={"Content-Type": "application/json"})
    assert_problem(broken, 400, "body_malformed")
    assert (await client.get(path)).json()["thread"]["title"] == title


async def test_text_comes_back_exactly_or_is_refused_by_name(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    odd = "a\tb\r\nc \u202e right \u200b zero \U0001f30d astral \x7f\x85 control"
    upstream.script(Answer(text=odd, pieces=3))
    asked = await ask(client, odd)
    question, answer = await messages_of(client, asked["thread_id"])
    assert question["content"] == odd
    assert answer["content"] == odd
    refused = await client.post("/ask", json={"user_id": "ada", "prompt": "a\x00b"})
    problem = assert_problem(refused, 422, "invalid_request")
    assert problem["errors"] == [
        {
            "field": "prompt",
            "message": "has the character U+0000 at position 1, which cannot be stored",
        }
    ]
    long = await client.post("/ask", json={"user_id": "ada", "prompt": "x" * 200_001})
    assert_problem(long, 422, "invalid_request")


async def test_a_deleted_thread_takes_its_files_but_not_those_that_others_use(
    client: httpx2.AsyncClient,
) -> None:
    ids = []
    for color in ("red", "blue"):
        uploaded = await client.post(
            "/upload-file", data={"user_id": "ada"}, files={"file": ("a.png", png(color))}
        )
        ids.append(uploaded.json())
    both = await ask(client, "Both", file_ids=[file["file_id"] for file in ids])
    await ask(client, "One", file_ids=[ids[1]["file_id"]])
    assert (await client.delete(f"/threads/ada/{both['thread_id']}")).status_code == 204
    assert_problem(await client.get(ids[0]["url"]), 404, "file_not_found")
    assert (await client.get(ids[1]["url"])).status_code == 200
    assert len((await client.get("/threads/ada")).json()["threads"]) == 1


async def test_another_users_thread_is_as_one_that_does_not_exist(
    client: httpx2.AsyncClient,
) -> None:
    asked = await ask(client)
    theirs, none = f"/threads/bob/{asked['thread_id']}", f"/threads/bob/thread_{'0' * 32}"
    for method in ("GET", "DELETE"):
        answers = [await client.request(method, path) for path in (theirs, none)]
        problems = [assert_problem(answer, 404, "thread_not_found") for answer in answers]
        assert problems[0] | {"request_id": ""} == problems[1] | {"request_id": ""}
    body = {"user_id": "bob", "prompt": "Hi"}
    for wrong in (
        {"thread_id": asked["thread_id"]},
        {"reply_to": asked["message"]["message_id"]},
    ):
        response = await client.post("/ask", json=body | wrong)
        assert response.status_code == 404


async def test_messages_with_files_and_the_zip_of_them(client: httpx2.AsyncClient) -> None:
    first = await client.post(
        "/ask",
        data={"user_id": "ada", "prompt": "One"},
        files={"file": ("../../etc/photo.png", png("red"))},
    )
    thread_id = first.json()["thread_id"]
    await ask(client, "No picture", thread_id=thread_id)
    await client.post(
        "/ask",
        data={"user_id": "ada", "prompt": "Two", "thread_id": thread_id},
        files=[("file", ("PHOTO.png", png("blue"))), ("file", ("photo.png", png("green")))],
    )
    listed = await pages(
        client, f"/threads/ada/{thread_id}/messages-with-files", "messages", limit=1
    )
    assert [[m["content"] for m in page] for page in listed] == [["Two"], ["One"]]
    response = await client.get(f"/threads/ada/{thread_id}/download-files")
    assert response.headers["content-type"] == "application/zip"
    assert thread_id in response.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["PHOTO.png", "photo (2).png", "photo (3).png"]
    empty = await ask(client, "Nothing here")
    response = await client.get(f"/threads/ada/{empty['thread_id']}/download-files")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == []
