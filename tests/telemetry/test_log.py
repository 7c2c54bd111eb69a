"""The log: every line says whose it is, and none what was said, on every ending."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import pytest
import structlog

from gpt_assistant_api.logs import configure_logging
from gpt_assistant_api.services import answers, threads
from tests.api.credentials import AUDIENCE, ISSUER, SECRET, make_token
from tests.api.helpers import png, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.server import client_of, make_settings, running

Lines = list[dict[str, Any]]
PROMPT = "marker-prompt"


@pytest.fixture(autouse=True)
def _json_log(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    root = logging.getLogger()
    of_test = [logging.getLogger(name) for name in ("httpx2", "aiohttp.access")]
    kept, levels = root.handlers[:], [(logger, logger.level) for logger in (root, *of_test)]
    configure_logging("info", "json")
    for logger in of_test:
        logger.setLevel(logging.WARNING)
    yield
    root.handlers[:] = kept
    for logger, level in levels:
        logger.setLevel(level)
    structlog.reset_defaults()


async def ask(client: httpx2.AsyncClient, prompt: str = PROMPT, **more: Any) -> httpx2.Response:
    return await client.post("/ask", json={"prompt": prompt, **more})


async def begun(client: httpx2.AsyncClient) -> dict[str, Any]:
    """Ask, and return the answer once the model has begun to speak."""
    response = await client.post(
        "/ask", json={"prompt": PROMPT}, headers={"Prefer": "respond-async"}
    )
    asked: dict[str, Any] = response.json()
    await watch(client, asked["run"]["run_id"], until=3)
    return asked


async def every_ending(
    client: httpx2.AsyncClient, upstream: ModelServerSimulation, patch: pytest.MonkeyPatch
) -> None:
    """Have runs and requests end in every way that there is."""
    echo = {"error": {"message": f"{PROMPT} marker-model-key"}}
    upstream.script(
        Answer(text="marker-answer"),
        Answer(text="marker-answer", incomplete_reason="max_output_tokens"),
        Answer(refusal="marker-answer"),
        Answer(status=401, body=echo),
        Answer(text="marker-answer marker-answer", cut_after=2),
        Answer(raw=f"data: {PROMPT}\n\n".encode()),
        *[Answer(text="marker-answer marker-answer", pause_after=2)] * 2,
    )
    statuses = [(await ask(client, stream=True)).status_code]
    statuses += [(await ask(client)).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 502, 502, 502]
    stopped, deleted = await begun(client), await begun(client)
    await client.post(f"/runs/{stopped['run']['run_id']}/cancel")
    await client.delete(f"/threads/marker-user/{deleted['thread_id']}")

    await ask(client, "", thread_id=PROMPT)
    broken_json = f'{{"prompt": "{PROMPT}'.encode()
    await client.post("/ask", content=broken_json, headers={"Content-Type": "application/json"})
    picture = {"file": ("marker-name.png", png())}
    shown = await client.post("/ask", data={"prompt": PROMPT}, files=picture)
    [file] = shown.json()["user_message"]["files"]
    assert (await client.get(file["url"])).status_code == 200
    await client.post("/upload-file", files={"file": ("marker-name.png", b"marker-bytes")})
    await client.get("/search/marker-user", params={"q": PROMPT})
    await client.get(f"/{PROMPT}", headers={"Cookie": "marker-cookie"})
    await client.get("/threads/marker-user", headers={"Authorization": "Bearer marker-wrong-key"})

    def broken(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(f"It does not fit:\n  {PROMPT}")

    patch.setattr(threads, "list_threads", broken)
    assert (await client.get("/threads/marker-user")).status_code == 500
    patch.setattr(answers, "Turn", broken)
    assert (await ask(client)).status_code == 500


@pytest.fixture
async def lines(
    tmp_path: Path,
    upstream: ModelServerSimulation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Lines:
    """What was logged while requests came, as it stands in the log."""
    settings = make_settings(
        tmp_path, openai_base_url=upstream.url, model="sim", model_api="responses",
        openai_api_key="marker-model-key", instructions="marker-instructions",
        jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE,
    )  # fmt: skip
    with running(settings) as server:
        capsys.readouterr()
        async with client_of(server, make_token("marker-user")) as client:
            await every_ending(client, upstream, monkeypatch)
            written = capsys.readouterr().err
    assert "marker" not in written
    assert SECRET not in written
    assert "signature" not in written
    return [json.loads(line) for line in written.splitlines()]


async def test_every_line_says_of_which_request_or_run_it_is(lines: Lines) -> None:
    assert [line for line in lines if not line.get("request_id") and not line.get("run_id")] == []
    of_runs = [line for line in lines if "request_id" not in line]
    assert {line["event"] for line in of_runs} >= {"run ended", "run crashed"}
    assert [line for line in of_runs if not line.get("thread_id") or not line.get("attempt")] == []


async def test_each_request_and_each_run_has_one_line_at_its_end(lines: Lines) -> None:
    requests = [line["request_id"] for line in lines if line["event"] == "request"]
    ends = [line for line in lines if line["event"] == "run ended"]
    runs = [line["run_id"] for line in ends]
    assert len(set(requests)) == len(requests) > 15
    assert len(set(runs)) == len(runs)
    assert sorted((line["status"], line["code"] or "") for line in ends) == [
        ("cancelled", ""), ("cancelled", ""), ("completed", ""), ("completed", ""),
        ("failed", "internal_error"), ("failed", "model_error"), ("failed", "model_error"),
        ("failed", "model_error"), ("incomplete", "model_refusal"), ("incomplete", "output_limit"),
    ]  # fmt: skip
    first = ends[0]
    assert first["seconds"] >= first["first_token_seconds"] > 0
    assert (first["input_tokens"], first["output_tokens"]) == (12, 34)
    stops = [line for line in lines if line.get("path") == "/runs/{run_id}/cancel"]
    assert [line["run_id"] in runs for line in stops] == [True]
    asks = [line for line in lines if line["event"] == "request" and line.get("run_id")]
    assert {line["run_id"] for line in asks} <= set(runs), "an ask names the run that it began"
    assert len(asks) >= 8
