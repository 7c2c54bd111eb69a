"""Watching and stopping runs."""

import asyncio

import httpx2

from tests.api.helpers import assert_problem, messages_of, read_events, start, text_of, watch
from tests.model_server import Answer, ModelServerSimulation


async def test_every_position_replays_each_character_exactly_once(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    text = "Grüße, 世界 🌍! event: x\ndata: y\n\nid: 9\r\nlast line"
    upstream.script(Answer(text=text, pieces=9, delay_seconds=0.002))
    started = await start(client)
    run_id = started["run"]["run_id"]
    whole = await watch(client, run_id)
    assert text_of(whole) == text
    for position, event in enumerate(whole[:-1]):
        assert await watch(client, run_id, after=event.id) == whole[position + 1 :]


async def test_many_watchers_see_the_same_sequence(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    held = Answer(text="All the same.", pieces=5, pause_after=2)
    upstream.script(held)
    run_id = (await start(client))["run"]["run_id"]
    watchers = [asyncio.ensure_future(watch(client, run_id)) for _ in range(10)]
    await watch(client, run_id, until=3)
    held.release()
    seen = await asyncio.gather(*watchers)
    for events in seen:
        assert events == seen[0]
    assert text_of(seen[0]) == "All the same."


async def test_odd_positions_have_documented_answers(client: httpx2.AsyncClient) -> None:
    run_id = (await start(client))["run"]["run_id"]
    events = await watch(client, run_id)
    path = f"/runs/{run_id}/events"

    async def at(position: str) -> httpx2.Response:
        return await client.get(path, headers={"Last-Event-ID": position})

    assert (await at(events[-1].id)).status_code == 204
    assert [event.name for event in await watch(client, run_id, after="0-0")] == [
        event.name for event in events
    ]
    for nonsense in ("-1", "abc", "1-2-3", "1.5-2", "9" * 40 + "-1"):
        assert_problem(await at(nonsense), 422, "invalid_request")
    assert_problem(await at("77-1"), 422, "invalid_request")
    assert_problem(await client.get(f"/runs/run_{'0' * 32}/events"), 404, "run_not_found")
    assert_problem(await client.get("/runs/nonsense"), 404, "run_not_found")


async def test_a_cancelled_run_keeps_what_was_delivered_and_closes_the_connection(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="So far so good", pieces=["So far ", "so good"], pause_after=1))
    started = await start(client)
    run_id = started["run"]["run_id"]
    watcher = asyncio.ensure_future(watch(client, run_id))
    await watch(client, run_id, until=3)
    response = await client.post(f"/runs/{run_id}/cancel")
    assert response.status_code == 200
    assert response.json()["status"] == "cancelled"
    assert await upstream.requests[0].wait_closed()
    events = await watcher
    assert [event.name for event in events[-2:]] == ["message.completed", "run.cancelled"]
    assert events[-2].data["message"]["status"] == "incomplete"
    assert events[-2].data["message"]["content"] == text_of(events) == "So far "
    [_, stored] = await messages_of(client, started["thread_id"])
    assert stored["content"] == "So far "
    again = await client.post(f"/runs/{run_id}/cancel")
    assert assert_problem(again, 409, "run_ended")["run_status"] == "cancelled"


async def test_cancel_before_the_first_token_and_of_a_waiting_run(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(pause_after=-1), Answer(text="Third."))
    first = await start(client)
    await upstream.wait_for_request(1)
    more = {"thread_id": first["thread_id"], "if_busy": "enqueue"}
    second, third = await start(client, "b", **more), await start(client, "c", **more)
    for asked in (second, first):
        response = await client.post(f"/runs/{asked['run']['run_id']}/cancel")
        assert response.json()["status"] == "cancelled"
        events = await watch(client, asked["run"]["run_id"])
        assert events[-1].name == "run.cancelled"
    assert await upstream.requests[0].wait_closed()
    assert text_of(await watch(client, third["run"]["run_id"])) == "Third."


async def test_deleting_the_thread_stops_its_run_and_nothing_comes_back(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="Never seen", pieces=2, pause_after=1))
    started = await start(client)
    run_id, thread_id = started["run"]["run_id"], started["thread_id"]
    await watch(client, run_id, until=3)
    async with client.stream("GET", f"/runs/{run_id}/events") as watching:
        assert (await client.delete(f"/threads/ada/{thread_id}")).status_code == 204
        assert await upstream.requests[0].wait_closed()
        await read_events(watching)
    assert_problem(await client.get(f"/runs/{run_id}"), 404, "run_not_found")
    assert_problem(await client.get(f"/runs/{run_id}/events"), 404, "run_not_found")
    assert_problem(await client.get(f"/threads/ada/{thread_id}"), 404, "thread_not_found")
    assert_problem(await client.delete(f"/threads/ada/{thread_id}"), 404, "thread_not_found")


async def test_every_position_of_an_html_stream_leads_to_the_whole_answer(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    text = "# Title\n\nSome **words**.\n\n- one\n- two\n"
    upstream.script(Answer(text=text, pieces=7, delay_seconds=0.002))
    run_id = (await start(client))["run"]["run_id"]
    whole = await watch(client, run_id, format="html")
    html = whole[-2].data["message"]["content_html"]
    for event in whole[:-2]:
        rest = await watch(client, run_id, after=event.id, format="html")
        assert [last.name for last in rest[-2:]] == ["message.completed", "run.completed"]
        assert rest[-2].data["message"]["content_html"] == html
