"""Words that the stories about the conversation API share."""

import io
import json
from dataclasses import dataclass
from typing import Any

import httpx2
from PIL import Image


@dataclass(frozen=True)
class Event:
    """A server-sent event as a client sees it."""

    name: str
    id: str
    data: dict[str, Any]


async def read_events(response: httpx2.Response, *, until: int | None = None) -> list[Event]:
    """Read a stream to its end, or up to a number of events."""
    events: list[Event] = []
    async for sent in httpx2.EventSource(response):
        events.append(Event(sent.event, sent.id or "", json.loads(sent.data)))
        if until is not None and len(events) >= until:
            break
    return events


async def watch(
    client: httpx2.AsyncClient,
    run_id: str,
    *,
    after: str | None = None,
    until: int | None = None,
    **params: str,
) -> list[Event]:
    """Watch a run, from the first event or after an id."""
    headers = {"Last-Event-ID": after} if after else {}
    async with client.stream(
        "GET", f"/runs/{run_id}/events", headers=headers, params=params
    ) as response:
        assert response.status_code == 200, await response.aread()
        return await read_events(response, until=until)


def text_of(events: list[Event]) -> str:
    """Join the deltas, checking that each begins where the one before it ended."""
    text = ""
    for event in events:
        if event.name == "run.restarted":
            text = ""
        elif event.name == "message.delta":
            assert event.data["offset"] == len(text)
            text += event.data["text"]
    return text


async def ask(client: httpx2.AsyncClient, prompt: str = "Why is the sky blue?", **body: Any) -> Any:
    """Ask as ada and return the whole answer."""
    response = await client.post("/ask", json={"user_id": "ada", "prompt": prompt, **body})
    assert response.status_code == 200, response.text
    return response.json()


async def start(client: httpx2.AsyncClient, prompt: str = "Go on.", **body: Any) -> Any:
    """Ask as ada without waiting for the answer."""
    response = await client.post(
        "/ask",
        json={"user_id": "ada", "prompt": prompt, **body},
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202, response.text
    return response.json()


async def messages_of(client: httpx2.AsyncClient, thread_id: str, **params: Any) -> list[Any]:
    """Return a page of ada's messages."""
    response = await client.get(f"/threads/ada/{thread_id}", params=params)
    assert response.status_code == 200, response.text
    page: list[Any] = response.json()["messages"]
    return page


def assert_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that a response is this problem, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


def png(color: str = "red", size: tuple[int, int] = (40, 30)) -> bytes:
    """Return a small picture."""
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()
