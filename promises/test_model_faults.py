"""Whatever the model server does, an answer has one clear end, and its thread goes on."""

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.api.helpers import Event, messages_of, read_events, text_of, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import server_process

_ONCE = {"x-should-retry": "false"}
_TEXT = "Some words that are said before it breaks."

# What is scripted, and with what code the run fails.
BEFORE_A_WORD: dict[str, tuple[list[Answer], str]] = {
    "400": ([Answer(status=400)], "model_error"),
    "401": ([Answer(status=401)], "model_error"),
    "404": ([Answer(status=404)], "model_error"),
    "413": ([Answer(status=413)] * 9, "context_too_long"),
    "429": ([Answer(status=429, headers=_ONCE)], "model_rate_limited"),
    "500": ([Answer(status=500, headers=_ONCE)], "model_error"),
    "503 of a proxy": ([Answer(status=503, body="<html>", headers=_ONCE)], "model_error"),
    "HTML": ([Answer(body="<html>Sign in</html>")], "model_error"),
    "nothing": ([Answer(body="")], "model_error"),
    "no event": ([Answer(raw=b"")], "model_error"),
    "noise": ([Answer(raw=b"\x00\xff\xfe" * 1_000)], "model_error"),
    "broken JSON": ([Answer(raw=b'data: {"cho\n\ndata: {{{{\n\n')], "model_error"),
    "resets": ([Answer(reset=True)] * 3, "model_error"),
    "a cut": ([Answer(text=_TEXT, pieces=6, cut_after=0)], "model_error"),
}
AFTER_WORDS: dict[str, tuple[list[Answer], str]] = {
    "a cut": ([Answer(text=_TEXT, pieces=6, cut_after=3)], "model_error"),
    "a reset": ([Answer(text=_TEXT, pieces=6, cut_after=3, reset=True)], "model_error"),
    "no end": ([Answer(text=_TEXT, pieces=6, omit_terminal=True)], "model_error"),
    "an error": (
        [Answer(text=_TEXT, pieces=6, error_event={"code": "server_error", "message": "No."})],
        "model_error",
    ),
}


@pytest.mark.parametrize("api", ["responses", "chat_completions"])
async def test_every_fault_has_one_end_however_the_answer_is_waited_for(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, api: str
) -> None:
    cases = [
        (f"{name}, {moment}", answers, code, way)
        for moment, faults in (("before", BEFORE_A_WORD), ("after", AFTER_WORDS))
        for name, (answers, code) in faults.items()
        for way in ("wait", "stream", "later")
    ]
    chance.shuffle(cases)
    wrong: list[str] = []
    settings = {"OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "MODEL_API": api}
    with server_process(tmp_path, **settings) as server:
        await server.start()
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
            thread_id: str | None = None
            for name, answers, code, way in cases:
                upstream.script(*answers)
                told, events = await _ask(client, way, thread_id)
                upstream._scripts.clear()  # a fault that needed fewer tries than were scripted
                thread_id = told["thread_id"]
                wrong += [f"{name}, {way}: {what}" for what in _faults_of(events, code)]
                question, answer = (await messages_of(client, thread_id))[-2:]
                if answer["content"] != text_of(events) or question["content"] != name_of(way):
                    wrong.append(f"{name}, {way}: {answer['content']!r} is stored")
                if (", after" in name) != bool(answer["content"]):
                    wrong.append(f"{name}, {way}: the text so far is {answer['content']!r}")
                if chance.random() < 0.2:
                    again = {"user_id": "ada", "thread_id": thread_id}
                    response = await client.post("/regenerate", json=again)
                    assert response.json()["message"]["content"] == Answer().text
        assert "Traceback" not in server.log.read_text()
    print({"faults and ways": len(cases)})  # noqa: T201
    assert wrong == []


def name_of(way: str) -> str:
    """Return the question that is asked in this way."""
    return f"Go on, {way}."


async def _ask(
    client: httpx2.AsyncClient, way: str, thread_id: str | None
) -> tuple[dict[str, Any], list[Event]]:
    """Ask in one way, and return what was told of the run and its events."""
    body = {"user_id": "ada", "prompt": name_of(way)}
    if thread_id:
        body["thread_id"] = thread_id
    if way == "stream":
        async with client.stream("POST", "/ask", json={**body, "stream": True}) as response:
            events = await read_events(response)
        return {"thread_id": events[0].data["thread_id"]}, events
    headers = {"Prefer": "respond-async"} if way == "later" else {}
    response = await client.post("/ask", json=body, headers=headers)
    assert response.status_code in ({202} if way == "later" else {502, 503, 504}), response.text
    told: dict[str, Any] = response.json()
    run_id = told["run"]["run_id"] if way == "later" else told["run_id"]
    return told, await asyncio.wait_for(watch(client, run_id), 60)


def _faults_of(events: list[Event], code: str) -> list[str]:
    """Tell what is wrong with how a run ended."""
    ends = [event for event in events if event.name.startswith("run.") and "run" in event.data]
    ends = [event for event in ends if event.name != "run.started"]
    wrong = [] if [end.name for end in ends] == ["run.failed"] else [f"it ended as {ends}"]
    if ends and (found := (ends[-1].data["run"]["error"] or {}).get("code")) != code:
        wrong.append(f"its code is {found}")
    return wrong
