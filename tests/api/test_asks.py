"""Asking and asking again, over HTTP, against the simulated model server."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.api.helpers import (
    ask,
    assert_problem,
    messages_of,
    png,
    read_events,
    start,
    text_of,
    watch,
)
from tests.model_server import Answer, ModelServerSimulation


async def test_a_question_is_answered_whole(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="Because of **Rayleigh** scattering.", usage=(10, 5)))
    answer = await ask(client)
    assert answer["thread_title"] == "Why is the sky blue?"
    question, message, run = answer["user_message"], answer["message"], answer["run"]
    assert question == {
        "message_id": question["message_id"],
        "thread_id": answer["thread_id"],
        "role": "user",
        "status": "completed",
        "content": "Why is the sky blue?",
        "content_html": None,
        "files": [],
        "image_id": None,
        "reply_to": None,
        "parent_id": None,
        "versions": {"index": 1, "count": 1, "ids": [question["message_id"]]},
        "run_id": None,
        "message_time": question["message_time"],
    }
    assert message["content"] == "Because of **Rayleigh** scattering."
    assert message["status"] == "completed"
    assert message["reply_to"] == message["parent_id"] == question["message_id"]
    assert run == {
        "run_id": message["run_id"],
        "thread_id": answer["thread_id"],
        "message_id": message["message_id"],
        "reply_to": question["message_id"],
        "status": "completed",
        "attempt": 1,
        "model": run["model"],
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        "error": None,
        "created_at": run["created_at"],
        "started_at": run["started_at"],
        "ended_at": run["ended_at"],
    }


async def test_a_stream_tells_the_whole_run_and_equals_what_is_stored(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="One two three four five six.", pieces=6, delay_seconds=0.002))
    body = {"user_id": "ada", "prompt": "Count.", "stream": True}
    async with client.stream("POST", "/ask", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        events = await read_events(response)
    names = [event.name for event in events]
    assert names[:2] == ["run.started", "message.started"]
    assert names[-2:] == ["message.completed", "run.completed"]
    assert set(names[2:-2]) == {"message.delta"}
    assert text_of(events) == "One two three four five six."
    stored = (await messages_of(client, events[0].data["thread_id"]))[-1]
    assert events[-2].data["message"]["content"] == stored["content"] == text_of(events)
    assert events[0].data["user_message"]["content"] == "Count."
    assert events[-1].data["run"]["usage"]["total_tokens"] == 46
    ids = [tuple(int(part) for part in event.id.split("-")) for event in events]
    assert ids == sorted(set(ids))


async def test_the_accept_header_asks_for_a_stream_as_well(client: httpx2.AsyncClient) -> None:
    async with client.stream(
        "POST",
        "/ask",
        json={"user_id": "ada", "prompt": "Hi"},
        headers={"Accept": "text/event-stream"},
    ) as response:
        events = await read_events(response)
    assert events[-1].name == "run.completed"


async def test_html_comes_as_blocks_that_are_replaced_one_by_one(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    text = "# Title\n\nFirst **bold**【4:0†source】.\n\n<script>alert(1)</script>\n\n- a\n- b\n"
    upstream.script(Answer(text=text, pieces=12, delay_seconds=0.002))
    body = {"user_id": "ada", "prompt": "Write.", "stream": True, "format": "html"}
    async with client.stream("POST", "/ask", json=body) as response:
        events = await read_events(response)
    assert "message.delta" not in [event.name for event in events]
    blocks: dict[int, str] = {}
    for event in events:
        if event.name == "message.block":
            blocks[event.data["index"]] = event.data["html"]
    shown = "".join(blocks[index] for index in sorted(blocks))
    assert "<h1>Title</h1>" in shown
    assert "<strong>bold</strong>" in shown
    assert "【" not in shown
    assert "<script" not in shown
    completed = next(event for event in events if event.name == "message.completed")
    html = completed.data["message"]["content_html"]
    assert html.replace("\n", "") == shown.replace("\n", "")
    again = await watch(client, events[-1].data["run"]["run_id"], format="html")
    assert again[-2].data["message"]["content_html"] == html


async def test_a_thread_goes_on_and_the_model_sees_its_history(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="I am fine."), Answer(text="Blue."))
    first = await ask(client, "How are you?")
    second = await ask(
        client,
        "And the sky?",
        thread_id=first["thread_id"],
        reply_to=first["message"]["message_id"],
    )
    assert second["thread_id"] == first["thread_id"]
    assert second["user_message"]["parent_id"] == first["message"]["message_id"]
    sent = upstream.requests[-1].body
    assert sent["store"] is False
    said = [item["content"] for item in sent["input"]]
    assert said[1] == "I am fine."
    assert said[2] == "> I am fine.\n\nAnd the sky?"


async def test_a_form_sends_a_prompt_and_a_picture_at_once(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    response = await client.post(
        "/ask",
        data={"user_id": "ada", "prompt": "What is this?"},
        files={"file": ("holiday.png", png(), "application/octet-stream")},
    )
    assert response.status_code == 200, response.text
    [file] = response.json()["user_message"]["files"]
    assert file["filename"] == "holiday.png"
    assert file["content_type"] == "image/png"
    assert (file["width"], file["height"]) == (40, 30)
    assert response.json()["user_message"]["image_id"] == file["file_id"]
    [(media_type, _)] = upstream.requests[-1].pictures
    assert media_type == "image/png"


async def test_a_picture_alone_gets_the_default_prompt(client: httpx2.AsyncClient) -> None:
    response = await client.post(
        "/ask", data={"user_id": "ada"}, files={"file": ("a.png", png(), "image/png")}
    )
    assert response.json()["user_message"]["content"] == "Describe this image."


async def test_an_urlencoded_form_works_as_json_does(client: httpx2.AsyncClient) -> None:
    response = await client.post("/ask", data={"user_id": "ada", "prompt": "Hi"})
    assert response.status_code == 200
    assert response.json()["user_message"]["content"] == "Hi"


async def test_a_refused_ask_leaves_no_file_behind(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation, server: Any
) -> None:
    held = Answer(pause_after=1)
    upstream.script(held)
    active = await start(client)
    response = await client.post(
        "/ask",
        data={"user_id": "ada", "prompt": "Now?", "thread_id": active["thread_id"]},
        files={"file": ("a.png", png(), "image/png")},
    )
    assert_problem(response, 409, "thread_busy")
    stored = [path for path in (server.settings.data_dir / "files").rglob("*") if path.is_file()]
    assert stored == []
    held.release()


async def test_an_upload_without_a_user_belongs_to_the_first_who_names_it(
    client: httpx2.AsyncClient,
) -> None:
    uploaded = await client.post("/upload-file", files={"file": ("a.png", png(), "image/png")})
    assert uploaded.status_code == 201, uploaded.text
    file_id = uploaded.json()["file_id"]
    answer = await ask(client, "What is this?", file_ids=[file_id])
    assert [file["file_id"] for file in answer["user_message"]["files"]] == [file_id]
    response = await client.post(
        "/ask", json={"user_id": "bob", "prompt": "And this?", "file_ids": [file_id]}
    )
    assert_problem(response, 404, "file_not_found")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_answer_is_kept_though_nobody_waits_for_it(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation, stream: bool
) -> None:
    held = Answer(text="Patience pays.", pause_after=1)
    upstream.script(held)
    body = {"user_id": "ada", "prompt": "Wait.", "stream": stream}
    task = asyncio.ensure_future(client.post("/ask", json=body))
    await upstream.wait_for_request(1)
    task.cancel()
    held.release()
    [thread] = (await client.get("/threads/ada")).json()["threads"]
    [_, pending] = await messages_of(client, thread["thread_id"])
    events = await watch(client, pending["run_id"])
    assert text_of(events) == "Patience pays."
    [_, answer] = await messages_of(client, thread["thread_id"])
    assert (answer["content"], answer["status"]) == ("Patience pays.", "completed")


async def test_respond_async_gives_the_run_at_once(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    held = Answer(pause_after=0, text="Later.")
    upstream.script(held)
    response = await client.post(
        "/ask", json={"user_id": "ada", "prompt": "Hi"}, headers={"Prefer": "respond-async"}
    )
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    run_id = response.json()["run"]["run_id"]
    assert response.headers["location"] == f"/runs/{run_id}"
    assert response.json()["message"]["status"] == "in_progress"
    held.release()
    assert text_of(await watch(client, run_id)) == "Later."
    assert (await client.get(f"/runs/{run_id}")).json()["status"] == "completed"


async def test_of_many_asks_at_once_exactly_one_runs_and_the_others_name_it(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    thread_id = (await ask(client))["thread_id"]
    held = Answer(pause_after=1)
    upstream.script(held)
    body = {"user_id": "ada", "prompt": "Me!", "thread_id": thread_id}
    headers = {"Prefer": "respond-async"}
    responses = await asyncio.gather(
        *(client.post("/ask", json=body, headers=headers) for _ in range(20))
    )
    accepted = [response for response in responses if response.status_code == 202]
    assert len(accepted) == 1
    run_id = accepted[0].json()["run"]["run_id"]
    for response in responses:
        if response is not accepted[0]:
            assert assert_problem(response, 409, "thread_busy")["run_id"] == run_id
    held.release()
    await watch(client, run_id)
    assert len(await messages_of(client, thread_id)) == 4


async def test_enqueued_asks_are_answered_in_their_order(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    held = Answer(text="1st", pause_after=0)
    upstream.script(held, Answer(text="2nd"), Answer(text="3rd"))
    first = await start(client, "a")
    more = {"thread_id": first["thread_id"], "if_busy": "enqueue"}
    second = await start(client, "b", **more)
    third = await start(client, "c", **more)
    assert second["run"]["status"] == third["run"]["status"] == "queued"
    held.release()
    await watch(client, third["run"]["run_id"])
    said = [message["content"] for message in await messages_of(client, first["thread_id"])]
    assert said == ["a", "1st", "b", "2nd", "c", "3rd"]
    assert [item["content"] for item in upstream.requests[-1].body["input"]][1::2] == ["1st", "2nd"]


async def test_an_interrupting_ask_stops_the_run_and_keeps_what_was_said(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="Endless talk", pieces=["Endless ", "talk"], pause_after=1))
    first = await start(client)
    await watch(client, first["run"]["run_id"], until=3)
    answer = await ask(client, "Stop!", thread_id=first["thread_id"], if_busy="interrupt")
    assert await upstream.requests[0].wait_closed()
    messages = await messages_of(client, first["thread_id"])
    assert [(m["content"], m["status"]) for m in messages[:2]] == [
        ("Go on.", "completed"),
        ("Endless ", "incomplete"),
    ]
    assert messages[-1]["message_id"] == answer["message"]["message_id"]
    stopped = (await client.get(f"/runs/{first['run']['run_id']}")).json()
    assert stopped["status"] == "cancelled"


async def test_the_same_key_and_body_give_the_same_run(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    body = {"user_id": "ada", "prompt": "Once."}
    headers = {"Idempotency-Key": "abc-1"}
    responses = await asyncio.gather(
        *(client.post("/ask", json=body, headers=headers) for _ in range(8))
    )
    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["run"]["run_id"] for response in responses}) == 1
    assert len(upstream.requests) == 1
    other = await client.post("/ask", json={**body, "prompt": "Twice."}, headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")
    elsewhere = await client.post(
        "/regenerate",
        json={"user_id": "ada", "thread_id": responses[0].json()["thread_id"]},
        headers=headers,
    )
    assert_problem(elsewhere, 422, "idempotency_key_reused")
    bob = await client.post("/ask", json={**body, "user_id": "bob"}, headers=headers)
    assert bob.json()["run"]["run_id"] != responses[0].json()["run"]["run_id"]


async def test_a_repeated_form_with_a_picture_is_stored_once(client: httpx2.AsyncClient) -> None:
    async def send() -> Any:
        response = await client.post(
            "/ask",
            data={"user_id": "ada", "prompt": "What is this?"},
            files={"file": ("a.png", png(), "image/png")},
            headers={"Idempotency-Key": "picture"},
        )
        assert response.status_code == 200, response.text
        return response.json()

    first, second = await send(), await send()
    assert first["user_message"]["message_id"] == second["user_message"]["message_id"]
    first_file, second_file = first["user_message"]["files"], second["user_message"]["files"]
    assert [file["file_id"] for file in first_file] == [file["file_id"] for file in second_file]


async def test_regenerating_keeps_every_version(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="First."), Answer(text="Second."), Answer(text="Third."))
    asked = await ask(client)
    thread_id, first = asked["thread_id"], asked["message"]["message_id"]
    body = {"user_id": "ada", "thread_id": thread_id}
    second = (await client.post("/regenerate", json=body)).json()["message"]
    third = (await client.post("/regenerate", json={**body, "message_id": first})).json()["message"]
    assert third["versions"] == {
        "index": 3,
        "count": 3,
        "ids": [first, second["message_id"], third["message_id"]],
    }
    active = await messages_of(client, thread_id)
    assert [message["content"] for message in active] == ["Why is the sky blue?", "Third."]
    everything = await messages_of(client, thread_id, branch="all")
    assert [message["content"] for message in everything][1:] == ["First.", "Second.", "Third."]
    patched = await client.patch(f"/threads/ada/{thread_id}", json={"head_id": first})
    assert patched.json()["head_id"] == first
    assert [m["content"] for m in await messages_of(client, thread_id)][1:] == ["First."]
    assert len(upstream.requests[-1].body["input"]) == 1


async def test_an_edited_prompt_is_a_version_of_the_question(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(*(Answer(text=text) for text in ("A1", "A2", "B1")))
    one = await ask(client, "one")
    two = await ask(client, "two", thread_id=one["thread_id"])
    body = {
        "user_id": "ada",
        "thread_id": one["thread_id"],
        "message_id": one["user_message"]["message_id"],
        "new_prompt": "uno",
    }
    edited = (await client.post("/regenerate", json=body)).json()
    assert edited["user_message"]["versions"]["count"] == 2
    assert edited["user_message"]["parent_id"] is None
    said = [m["content"] for m in await messages_of(client, one["thread_id"])]
    assert said == ["uno", "B1"]
    path = f"/threads/ada/{one['thread_id']}"
    await client.patch(path, json={"head_id": one["user_message"]["message_id"]})
    thread = (await client.get(path)).json()
    assert thread["thread"]["head_id"] == two["message"]["message_id"]
    assert [m["content"] for m in thread["messages"]] == ["one", "A1", "two", "A2"]


async def test_an_edited_prompt_keeps_its_picture(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    asked = await client.post(
        "/ask",
        data={"user_id": "ada", "prompt": "What?"},
        files={"file": ("a.png", png(), "image/png")},
    )
    body = {"user_id": "ada", "thread_id": asked.json()["thread_id"], "new_prompt": "What is it?"}
    edited = await client.post("/regenerate", json=body)
    assert len(edited.json()["user_message"]["files"]) == 1
    assert len(upstream.requests[-1].pictures) == 1


def retry_after(answer: Answer) -> str:
    """Return what a client is told: what the server asks for within bounds, or a guess."""
    asked = answer.headers.get("retry-after")
    return "20" if asked is None else str(min(int(float(asked)), 86_400))


@pytest.mark.parametrize(
    ("answer", "status", "code", "kept"),
    [
        (Answer(status=401, body={"error": {"message": "no"}}), 502, "model_error", ""),
        (
            Answer(status=429, headers={"retry-after": "33"}, body={"error": {"message": "slow"}}),
            503,
            "model_rate_limited",
            "",
        ),
        (
            Answer(
                status=429,
                headers={"retry-after": "1e300"},
                body={"error": {"message": "slow"}},
            ),
            503,
            "model_rate_limited",
            "",
        ),
        (
            Answer(
                status=429,
                headers={"x-should-retry": "false"},
                body={"error": {"message": "slow"}},
            ),
            503,
            "model_rate_limited",
            "",
        ),
        (
            Answer(status=500, headers={"x-should-retry": "false"}, body="<html>oops</html>"),
            502,
            "model_error",
            "",
        ),
        (Answer(raw=b"<html>hello</html>"), 502, "model_error", ""),
        (Answer(pieces=["Hello ", "there"], cut_after=1), 502, "model_error", "Hello "),
        (Answer(text="Hello", pieces=1, omit_terminal=True), 502, "model_error", "Hello"),
        (
            Answer(text="Hello", pieces=1, error_event={"code": "server_error", "message": "x"}),
            502,
            "model_error",
            None,
        ),
    ],
)
async def test_a_failing_model_server_has_one_clear_ending(
    client: httpx2.AsyncClient,
    upstream: ModelServerSimulation,
    answer: Answer,
    status: int,
    code: str,
    kept: str | None,
) -> None:
    upstream.script(answer)
    response = await client.post("/ask", json={"user_id": "ada", "prompt": "Hello?"})
    problem = assert_problem(response, status, code)
    if code == "model_rate_limited":
        assert response.headers["retry-after"] == retry_after(answer)
    assert "127.0.0.1" not in response.text
    [question, failed] = await messages_of(client, problem["thread_id"])
    assert question["message_id"] == problem["message_id"]
    assert failed["status"] == "failed"
    if kept is not None:
        assert failed["content"] == kept
    run = (await client.get(f"/runs/{problem['run_id']}")).json()
    assert run["status"] == "failed"
    assert run["error"]["code"] == code
    again = await client.post(
        "/regenerate", json={"user_id": "ada", "thread_id": problem["thread_id"]}
    )
    assert again.status_code == 200
    assert again.json()["message"]["versions"]["count"] == 2


@pytest.mark.parametrize(
    ("answer", "code", "content"),
    [
        (Answer(text="Too lo", incomplete_reason="max_output_tokens"), "output_limit", "Too lo"),
        (Answer(text="Well", incomplete_reason="content_filter"), "content_filter", "Well"),
        (Answer(text="", refusal="I cannot."), "model_refusal", "I cannot."),
        (Answer(text="", pieces=[]), "model_empty_answer", ""),
    ],
)
async def test_an_answer_that_stops_short_is_incomplete_and_says_why(
    client: httpx2.AsyncClient,
    upstream: ModelServerSimulation,
    answer: Answer,
    code: str,
    content: str,
) -> None:
    upstream.script(answer)
    asked = await ask(client)
    assert asked["run"]["status"] == asked["message"]["status"] == "incomplete"
    assert asked["run"]["error"]["code"] == code
    assert asked["message"]["content"] == content
    follow_up = await ask(client, "And?", thread_id=asked["thread_id"])
    assert follow_up["run"]["status"] == "completed"
    assert all(item["content"] for item in upstream.requests[-1].body["input"])


async def test_a_failed_run_ends_its_stream_with_the_reason(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(status=401, body={"error": {"message": "secret upstream words"}}))
    body = {"user_id": "ada", "prompt": "Hello?", "stream": True}
    async with client.stream("POST", "/ask", json=body) as response:
        events = await read_events(response)
    assert events[-1].name == "run.failed"
    assert events[-1].data["run"]["error"]["code"] == "model_error"
    assert "secret upstream words" not in str(events)


async def test_a_history_that_is_too_long_for_the_model_is_cut_and_sent_again(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    too_long = Answer(
        status=400,
        body={"error": {"message": "too long", "code": "context_length_exceeded", "type": "x",
                        "param": "input"}},
    )  # fmt: skip
    thread_id = None
    for _ in range(3):
        asked = await ask(client, "word " * 4000, **({"thread_id": thread_id} if thread_id else {}))
        thread_id = asked["thread_id"]
    upstream.script(too_long, too_long, Answer(text="Better."))
    answer = await ask(client, "Now?", thread_id=thread_id)
    assert answer["message"]["content"] == "Better."
    sizes = [len(request.body["input"]) for request in upstream.requests[-3:]]
    assert sizes[2] < sizes[0]
    assert upstream.requests[-1].body["input"][-1]["content"] == "Now?"
