import json
from typing import Any

import pytest

from gpt_assistant_api.domain.errors import (
    ContextTooLongError,
    ModelError,
    ModelRateLimitedError,
)
from gpt_assistant_api.domain.history import Turn
from gpt_assistant_api.domain.runs import Usage
from gpt_assistant_api.llm.chat_completions import ChatDecoder
from tests.llm.builders import QUESTION, SETTINGS, collect, make_picture, make_server
from tests.model_server import Answer, ModelServerSimulation

DONE = b"[DONE]"


def choice(delta: Any = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": reason, **more}]}


def decode(*chunks: dict[str, Any] | bytes) -> tuple[str, ChatDecoder]:
    decoder = ChatDecoder()
    datas = [chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode() for chunk in chunks]
    return "".join([decoder.decode(b"", data) for data in datas]), decoder


async def test_the_request_is_one_that_every_server_knows(
    upstream: ModelServerSimulation,
) -> None:
    red = make_picture("red")
    turns = [
        Turn("user", "What is this?", (red,)),
        Turn("assistant", ""),
        Turn("assistant", "Red."),
        Turn("user", "Sure?"),
    ]
    server = make_server(upstream.url, "chat_completions")
    await collect(server.stream(turns, SETTINGS))
    await server.close()
    (request,) = upstream.requests
    assert request.pictures == [("image/png", red.data)]
    url = request.body["messages"][1]["content"][1]["image_url"]["url"]
    assert request.body == {
        "model": "test-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": url}},
                ],
            },
            {"role": "assistant", "content": "Red."},
            {"role": "user", "content": "Sure?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_server_that_refuses_stream_options_is_asked_without_from_then_on(
    upstream: ModelServerSimulation,
) -> None:
    message = "Unrecognized request argument supplied: stream_options"
    upstream.script(Answer(status=400, body={"error": {"message": message}}))
    server = make_server(upstream.url, "chat_completions")
    for _ in range(2):
        _, end = await collect(server.stream(QUESTION, SETTINGS))
        assert end.usage is None
    await server.close()
    assert ["stream_options" in one.body for one in upstream.requests] == [True, False, False]


async def test_a_server_that_refuses_stream_options_nobody_sent_is_a_model_error(
    upstream: ModelServerSimulation,
) -> None:
    upstream.default = Answer(status=400, body={"error": {"message": "stream_options"}})
    server = make_server(upstream.url, "chat_completions")
    with pytest.raises(ModelError):
        await collect(server.stream(QUESTION, SETTINGS))
    await server.close()
    assert len(upstream.requests) == 2


async def test_silence_after_the_finish_reason_does_not_cost_the_answer(
    upstream: ModelServerSimulation,
) -> None:
    finished = json.dumps(choice({"content": "Hi"}, "stop")).encode()
    upstream.script(Answer(raw=[b"data: " + finished + b"\n\n", b":"], pause_after=1))
    server = make_server(upstream.url, "chat_completions", timeout_seconds=0.1)
    text, end = await collect(server.stream(QUESTION, SETTINGS))
    await server.close()
    assert (text, end.reason) == ("Hi", "stop")


def test_what_azure_sends_is_read() -> None:
    text, decoder = decode(
        {"choices": [], "prompt_filter_results": [], "id": "", "model": ""},
        choice({"role": "assistant", "content": None}),
        {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]},
        choice({"content": "Hi"}),
        choice({}, "content_filter"),
        DONE,
    )
    assert (text, decoder.reason) == ("Hi", "content_filter")


def test_what_other_servers_send_is_read() -> None:
    text, decoder = decode(
        {"id": "x"},
        {"choices": None},
        choice({"role": "assistant", "content": "", "tool_calls": []}),
        choice({"role": "assistant", "reasoning_content": "hmm", "reasoning": "hmm"}),
        choice({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "H"}]}),
        choice({"content": "i"}, timings={"x": 1.5}),
        choice({"content": "another choice"}, index=1),
        choice(None, "stop") | {"usage": {"prompt_tokens": 3, "completion_tokens": 4}},
        {"choices": [], "usage": None, "model": "served"},
        b"",
        DONE,
    )
    assert text == "Hi"
    assert decoder.usage == Usage(3, 4, 7)
    assert (decoder.reason, decoder.finished, decoder.model) == ("stop", True, "served")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, ModelRateLimitedError),
        ({"error": "the input length exceeds the context length"}, ContextTooLongError),
        (
            {"object": "error", "message": "maximum context length", "code": 400},
            ContextTooLongError,
        ),
        ({"error": {"code": {"odd": 1}, "message": None}}, ModelError),
        (choice({"content": ""}, "error"), ModelError),
    ],
)
def test_a_failure_in_any_form_is_noticed(error: Any, kind: type[ModelError]) -> None:
    with pytest.raises(kind):
        decode(choice({"content": "Hi"}), error)
