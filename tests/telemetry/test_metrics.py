"""What the figures tell of what a server did, and what they never tell."""

from pathlib import Path

import httpx2
import pytest

from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.telemetry.listener import serving_metrics
from gpt_assistant_api.telemetry.metrics import Metrics
from tests.api.credentials import ISSUER, SECRET
from tests.api.helpers import ask, assert_problem, png, start, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import free_port
from tests.server import client_of, make_settings, running

from .figures import figure, figures_of, until


async def test_every_run_is_counted_once_by_how_it_ended(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    held = Answer(pause_after=2)
    upstream.script(Answer(usage=(12, 34)), Answer(status=401), Answer(usage=(1, 2)), held)
    await ask(client)
    response = await client.post("/ask", json={"user_id": "ada", "prompt": "Fail."})
    assert_problem(response, 502, "model_error")
    await ask(client)
    running_ = await start(client)
    await watch(client, running_["run"]["run_id"], until=3)
    waiting = await start(client, thread_id=running_["thread_id"], if_busy="enqueue")
    dropped = await start(client, thread_id=running_["thread_id"], if_busy="enqueue")
    await until(client, "unfinished_runs", 2, status="queued")
    figures = await figures_of(client)
    assert figure(figures, "unfinished_runs", status="in_progress") == 1
    assert figure(figures, "queue_depth") == 0, "they wait for their thread, not for a worker"
    assert figure(figures, "runs_executing") == 1

    for run in (waiting, running_):
        done = await client.post(f"/runs/{run['run']['run_id']}/cancel")
        assert done.status_code == 200
    await watch(client, dropped["run"]["run_id"])
    figures = await figures_of(client)
    ends = {
        dict(labels)["status"]: value
        for (name, labels), value in figures.items()
        if name == "gpt_assistant_runs_ended_total" and value
    }
    assert ends == {"completed": 3, "failed": 1, "cancelled": 2}
    assert figure(figures, "runs_ended_total", status="failed", code="model_error") == 1
    assert figure(figures, "model_errors_total", code="model_error") == 1
    for status, count in ends.items():
        assert figure(figures, "run_duration_seconds_count", status=status) == count
    assert figure(figures, "tokens_total", direction="input") == 12 + 1 + 12
    assert figure(figures, "tokens_total", direction="output") == 34 + 2 + 34
    assert figure(figures, "run_first_token_seconds_count") == 4
    assert figure(figures, "model_first_token_seconds_count") == 4
    assert figure(figures, "run_attempts_total", kind="first") == 5
    assert figure(figures, "run_attempts_total", kind="again") == 0
    assert figure(figures, "unfinished_runs", status="queued") == 0


async def test_a_run_that_goes_with_its_thread_is_counted_as_cancelled(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(pause_after=2))
    asked = await start(client)
    await watch(client, asked["run"]["run_id"], until=3)
    await client.delete(f"/threads/ada/{asked['thread_id']}")
    await until(client, "runs_executing", 0)
    figures = await figures_of(client)
    assert figure(figures, "runs_ended_total", status="cancelled", code="") == 1


async def test_a_stream_is_counted_while_somebody_reads_it(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(pause_after=2))
    body = {"user_id": "ada", "prompt": "Go on.", "stream": True}
    async with client.stream("POST", "/ask", json=body):
        await until(client, "open_streams", 1)
    await until(client, "open_streams", 0)
    figures = await figures_of(client)
    assert figure(figures, "runs_executing") == 1, "the run goes on without its watcher"


async def test_files_are_counted_as_they_are_stored(client: httpx2.AsyncClient) -> None:
    uploads = [png(), b"no image", png("blue")]
    sizes = []
    for data in uploads:
        response = await client.post(
            "/upload-file", data={"user_id": "ada"}, files={"file": ("a.png", data)}
        )
        sizes += [response.json()["bytes"]] if response.status_code == 201 else []
    asked = await client.post(
        "/ask", data={"user_id": "ada", "prompt": "?"}, files={"file": ("b.png", png("lime"))}
    )
    sizes.append(asked.json()["user_message"]["files"][0]["bytes"])
    figures = await figures_of(client)
    assert figure(figures, "accepted_files_total") == 3
    assert figure(figures, "accepted_file_bytes_total") == sum(sizes)


async def test_the_connections_to_the_database_are_told_by_kind(
    client: httpx2.AsyncClient, database_url: str
) -> None:
    await ask(client)
    figures = await figures_of(client)
    is_sqlite = database_url.startswith("sqlite:")
    most = {"readers": 4, "writer": 1} if is_sqlite else {"connections": 20}
    for pool, number in most.items():
        assert figure(figures, "database_connections_max", pool=pool) == number
        in_use = figure(figures, "database_connections_in_use", pool=pool)
        assert in_use is not None
        assert 0 <= in_use <= number
        assert figure(figures, "database_waiting", pool=pool) == 0


async def test_no_label_names_a_person_or_a_thing(client: httpx2.AsyncClient) -> None:
    marker = "marker-4711"
    asked = await client.post("/ask", json={"user_id": marker, "prompt": marker})
    await client.get(f"/threads/{marker}")
    await client.get(f"/search/{marker}", params={"q": marker})
    await client.get(f"/nothing/{marker}")
    await client.request(marker.upper(), "/healthz")
    text = (await client.get("/metrics")).text
    assert marker not in text.lower()
    assert asked.json()["thread_id"] not in text
    assert asked.json()["run"]["run_id"] not in text


async def test_a_port_of_their_own_needs_no_key(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    port = free_port()
    settings = make_settings(
        tmp_path, metrics_port=port, openai_base_url=upstream.url, model="sim",
        jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience="anybody",
    )  # fmt: skip
    with running(settings) as server:
        async with client_of(server) as client:
            assert_problem(await client.get("/metrics"), 401, "credentials_missing")
            figures = await figures_of(client, f"http://127.0.0.1:{port}/metrics")
            assert figure(figures, "unfinished_runs", status="queued") == 0
            assert figure(figures, "build_info", version="0.1.0") == 1
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}/metrics")


async def test_processes_of_one_server_take_a_port_each_and_no_more() -> None:
    port = free_port()
    ports = [port, free_port()]
    one, other = Metrics(), Metrics()
    one.files.inc()
    async with serving_metrics(one, "127.0.0.1", ports), serving_metrics(other, "localhost", ports):
        async with httpx2.AsyncClient() as client:
            counted = [
                figure(
                    await figures_of(client, f"http://127.0.0.1:{number}/metrics"),
                    "accepted_files_total",
                )
                for number in ports
            ]
        assert counted == [1, 0]
        with pytest.raises(ConfigurationError, match=r"HOST and METRICS_PORT: cannot listen"):
            async with serving_metrics(Metrics(), "127.0.0.1", [port]):
                pass
