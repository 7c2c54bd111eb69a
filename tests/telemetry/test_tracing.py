"""Traces: one from the request to the model, in whichever process, and nothing private in it."""

import sys
from pathlib import Path

import httpx2
import pytest

from gpt_assistant_api.app import create_app, make_telemetry
from gpt_assistant_api.domain.errors import ConfigurationError
from tests.api.helpers import ask, png, start, watch
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import server_process
from tests.server import client_of, make_settings, running

from .collector import collecting

REMOTE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_request_its_run_and_the_call_of_the_model_are_one_trace(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(usage=(12, 34)))
    with collecting() as collector:
        settings = make_settings(
            tmp_path, openai_base_url=upstream.url, model="sim", model_api="responses",
            otel_exporter_otlp_endpoint=collector.url,
        )  # fmt: skip
        with running(settings) as server:
            async with client_of(server) as client:
                client.headers["traceparent"] = f"00-{REMOTE}-00f067aa0ba902b7-01"
                asked = await ask(client)
                await client.get("/healthz")
        request, run, call = (collector.named(name) for name in ("POST /ask", "run", "chat sim"))
    assert {span.trace_id for span in collector.spans()} == {REMOTE}, "and no probe has a trace"
    assert request.parent_id == "00f067aa0ba902b7"
    assert run.parent_id == request.span_id
    assert call.parent_id == run.span_id
    assert {request.service, run.service, call.service} == {"gpt-assistant-api"}
    assert run.attributes == {
        "gpt_assistant.run.id": asked["run"]["run_id"],
        "gpt_assistant.run.attempt": 1,
        "gpt_assistant.run.status": "completed",
        "gen_ai.conversation.id": asked["thread_id"],
    }
    assert call.attributes.pop("gen_ai.response.time_to_first_chunk") > 0
    assert call.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "sim",
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": asked["thread_id"],
        "gen_ai.response.model": "sim",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
    }
    assert not any(span.is_error for span in collector.spans())


async def test_a_failure_is_named_by_its_code_alone(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(status=401, body={"error": {"message": "marker-4711"}}))
    with collecting() as collector:
        settings = make_settings(
            tmp_path, openai_base_url=upstream.url, model="sim",
            otel_exporter_otlp_endpoint=collector.url,
        )  # fmt: skip
        with running(settings) as server:
            async with client_of(server) as client:
                await client.post("/ask", json={"user_id": "ada", "prompt": "Why?"})
        for name in ("run", "chat sim"):
            span = collector.named(name)
            assert (span.is_error, span.attributes["error.type"]) == (True, "model_error")


async def test_no_span_holds_a_text_a_user_a_name_or_a_signature(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(text="marker-answer"), Answer(pause_after=1))
    with collecting() as collector:
        settings = make_settings(
            tmp_path, openai_base_url=upstream.url, model="sim", openai_api_key="marker-key",
            instructions="marker-instructions", otel_exporter_otlp_endpoint=collector.url,
        )  # fmt: skip
        with running(settings) as server:
            async with client_of(server) as client:
                asked = await client.post(
                    "/ask", data={"user_id": "marker-user", "prompt": "marker-prompt"},
                    files={"file": ("marker-name.png", png())},
                )  # fmt: skip
                [file] = asked.json()["user_message"]["files"]
                signature = file["url"].rpartition("=")[2]
                assert (await client.get(file["url"])).status_code == 200
                await client.get("/search/marker-user", params={"q": "marker-prompt"})
                await client.get("/nothing/marker-path")
                held = await start(client, "marker-prompt")
                await watch(client, held["run"]["run_id"], until=3)
                await client.post(f"/runs/{held['run']['run_id']}/cancel")
        assert len(collector.spans()) >= 10
        sent = b"".join(collector.bodies)
    assert b"marker" not in sent
    assert signature.encode() not in sent


async def test_a_run_goes_on_in_its_trace_after_the_process_was_killed(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    upstream.script(Answer(pause_after=2))
    with collecting() as collector:
        settings = {
            "OPENAI_BASE_URL": upstream.url, "MODEL": "sim",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "mine",
        }  # fmt: skip
        with server_process(tmp_path, **settings) as server:
            await server.start()
            async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
                client.headers["traceparent"] = f"00-{REMOTE}-00f067aa0ba902b7-01"
                run_id = (await start(client))["run"]["run_id"]
                await watch(client, run_id, until=3)
            server.kill()
            await server.start()
            async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
                assert (await watch(client, run_id))[-1].name == "run.completed"
            server.terminate()
        run = collector.named("run")
    assert (run.trace_id, run.attributes["gpt_assistant.run.attempt"]) == (REMOTE, 2)
    assert run.service == "mine"


async def test_what_cannot_be_traced_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_ENDPOINT: give an address"):
        create_app(make_settings(tmp_path, otel_exporter_otlp_endpoint="localhost:4318"))
    extra = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, extra, None)
    settings = make_settings(tmp_path, otel_exporter_otlp_endpoint="http://localhost:4318")
    with pytest.raises(ConfigurationError, match=r"needs: pip install 'gpt-assistant-api\[otlp\]'"):
        make_telemetry(settings)
