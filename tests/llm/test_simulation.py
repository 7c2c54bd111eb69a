"""The simulated model server must be like the real one, or every test above it proves nothing."""

from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gpt_assistant_api.domain.runs import Usage
from gpt_assistant_api.llm import Delta, StopReason
from tests.llm.builders import QUESTION, SETTINGS, collect, make_server
from tests.model_server import Answer, ModelServerSimulation

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

ANSWERS: list[tuple[Answer, StopReason]] = [
    (Answer(), "stop"),
    (Answer(text="x", pieces=["x"]), "stop"),
    (Answer(refusal="I will not say."), "refusal"),
    (Answer(incomplete_reason="max_output_tokens"), "output_limit"),
    (Answer(incomplete_reason="content_filter"), "content_filter"),
    (Answer(text="line\r\n\r\ndata: forged\n\nevent: done 🌈" * 20, pieces=3), "stop"),
]


@pytest.mark.parametrize(("answer", "reason"), ANSWERS)
async def test_every_response_event_is_of_the_official_type_and_reads_alike(
    upstream: ModelServerSimulation, answer: Answer, reason: StopReason
) -> None:
    upstream.default = answer
    client = AsyncOpenAI(base_url=upstream.url, api_key="k", max_retries=0)
    text = ""
    async with (
        client,
        await client.responses.create(
            model="test-model", input="Hi", stream=True, store=False
        ) as stream,
    ):
        async for event in stream:
            EVENT.validate_python(event.model_dump(warnings="error"))
            if event.type in {"response.output_text.delta", "response.refusal.delta"}:
                text += event.delta
            last = event
    assert last.type in {"response.completed", "response.incomplete"}
    counted = last.response.usage
    assert counted is not None

    server = make_server(upstream.url, "responses")
    ours, end = await collect(server.stream(QUESTION, SETTINGS))
    await server.close()
    assert ours == text == "".join(answer.split())
    assert end.reason == reason
    assert end.usage == Usage(counted.input_tokens, counted.output_tokens, counted.total_tokens)
    assert end.model == last.response.model


@pytest.mark.parametrize(("answer", "reason"), ANSWERS)
async def test_every_chat_chunk_is_of_the_official_type_and_reads_alike(
    upstream: ModelServerSimulation, answer: Answer, reason: StopReason
) -> None:
    upstream.default = answer
    client = AsyncOpenAI(base_url=upstream.url, api_key="k", max_retries=0)
    text, usage = "", None
    async with (
        client,
        await client.chat.completions.create(
            model="test-model",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        ) as stream,
    ):
        async for chunk in stream:
            ChatCompletionChunk.model_validate(chunk.model_dump(warnings="error"))
            for choice in chunk.choices:
                text += choice.delta.content or choice.delta.refusal or ""
            usage = chunk.usage or usage
    assert usage is not None

    server = make_server(upstream.url, "chat_completions")
    ours, end = await collect(server.stream(QUESTION, SETTINGS))
    await server.close()
    assert ours == text == "".join(answer.split())
    assert end.reason == reason
    assert end.usage == Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    assert end.model == "test-model"


@pytest.mark.parametrize("error", [{"code": "server_error"}, {"code": "x", "param": None}])
async def test_failures_in_a_response_are_of_the_official_types(
    upstream: ModelServerSimulation, error: dict[str, Any]
) -> None:
    upstream.script(Answer(error_event=error))
    client = AsyncOpenAI(base_url=upstream.url, api_key="k", max_retries=0)
    async with (
        client,
        await client.responses.create(model="test-model", input="Hi", stream=True) as stream,
    ):
        events = [event async for event in stream]
    for event in events:
        EVENT.validate_python(event.model_dump(warnings="error"))
    assert events[-1].type == ("error" if "param" in error else "response.failed")


async def test_errors_and_models_are_read_by_the_official_sdk(
    upstream: ModelServerSimulation,
) -> None:
    client = AsyncOpenAI(base_url=upstream.url, api_key="k", max_retries=0)
    async with client:
        assert [model.id async for model in client.models.list()] == ["test-model"]
        upstream.script(Answer(status=400))
        with pytest.raises(BadRequestError) as refused:
            await client.responses.create(model="test-model", input="Hi")
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id == "req_1"


async def test_a_held_answer_waits_for_its_release(upstream: ModelServerSimulation) -> None:
    answer = Answer(text="abcd", pieces=2, pause_after=1)
    upstream.script(answer)
    server = make_server(upstream.url, "responses")
    stream = server.stream(QUESTION, SETTINGS)
    first = await anext(stream)
    assert isinstance(first, Delta)
    assert not (await upstream.wait_for_request()).answered.is_set()
    answer.release()
    rest, _ = await collect(stream)
    assert first.text + rest == "abcd"
    await server.close()
