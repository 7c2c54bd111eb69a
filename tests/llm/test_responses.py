import json
from typing import Any

import pytest

from gpt_assistant_api.domain.errors import ModelError
from gpt_assistant_api.domain.history import Turn
from gpt_assistant_api.llm import GenerationSettings
from gpt_assistant_api.llm.responses import ResponsesDecoder
from tests.llm.builders import SETTINGS, collect, make_picture, make_server
from tests.model_server import ModelServerSimulation


def event(kind: str, **fields: Any) -> tuple[bytes, bytes]:
    return kind.encode(), json.dumps({"type": kind, **fields}).encode()


def delta(text: str, number: int | None = None) -> tuple[bytes, bytes]:
    return event("response.output_text.delta", delta=text, sequence_number=number)


def decode(*events: tuple[bytes, bytes]) -> tuple[str, ResponsesDecoder]:
    decoder = ResponsesDecoder()
    return "".join([decoder.decode(*one) for one in events]), decoder


async def test_the_request_holds_the_conversation_and_nothing_is_stored_upstream(
    upstream: ModelServerSimulation,
) -> None:
    red, blue = make_picture("red"), make_picture("blue", image_format="JPEG")
    turns = [
        Turn("user", "What is this?", (red, blue)),
        Turn("assistant", ""),
        Turn("assistant", "Two colours."),
        Turn("user", "", (red,)),
        Turn("user", " "),
        Turn("user", "Sure?"),
    ]
    server = make_server(upstream.url, "responses")
    await collect(server.stream(turns, SETTINGS))
    await collect(server.stream(turns[-1:], GenerationSettings("m", "", "tag-2")))
    await server.close()

    full, bare = upstream.requests
    assert full.pictures == [
        ("image/png", red.data),
        ("image/jpeg", blue.data),
        ("image/png", red.data),
    ]
    for turn in full.body["input"]:
        for part in turn["content"] if isinstance(turn["content"], list) else []:
            if "image_url" in part:
                part["image_url"] = "..."
    image = {"type": "input_image", "image_url": "...", "detail": "auto"}
    assert full.body == {
        "model": "test-model",
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "What is this?"}, image, image],
            },
            {"role": "assistant", "content": "Two colours."},
            {"role": "user", "content": [image]},
            {"role": "user", "content": "Sure?"},
        ],
        "store": False,
        "stream": True,
        "safety_identifier": "tag-1",
    }
    assert "instructions" not in bare.body


async def test_a_large_picture_arrives_whole(upstream: ModelServerSimulation) -> None:
    picture = make_picture(image_format="PNG")
    large = type(picture)("p", "image/png", 1, 1, "image/png", bytes(range(256)) * 12_000)
    server = make_server(upstream.url, "responses")
    await collect(server.stream([Turn("user", "", (large,))], SETTINGS))
    await server.close()
    assert upstream.requests[0].pictures == [("image/png", large.data)]


def test_events_without_a_name_are_known_by_their_type() -> None:
    completed = event("response.completed", response={"model": "m", "usage": None})
    text, decoder = decode(*[(b"", data) for _, data in (delta("Hi"), delta("!"), completed)])
    assert (text, decoder.reason, decoder.finished, decoder.model) == ("Hi!", "stop", True, "m")


def test_reasoning_and_unknown_events_and_padding_are_passed_over() -> None:
    text, _ = decode(
        event("response.reasoning_summary_text.delta", delta="hmm"),
        event("response.surprise", delta={"an": "object"}),
        event("response.output_text.delta", delta="Hi", obfuscation="xyz", logprobs=[]),
        (b"keepalive", b""),
    )
    assert text == "Hi"


@pytest.mark.parametrize("numbers", [(0, 1, 1), (0, 1, 3), (4, 5, 4)])
def test_a_repeated_or_missing_event_is_a_failure(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ModelError):
        decode(*[delta("x", number) for number in numbers])


@pytest.mark.parametrize("numbers", [(0, 0, 0), (-1, -1), (None, None), (0, 1, None, 2)])
def test_servers_that_do_not_count_their_events_are_believed(
    numbers: tuple[int | None, ...],
) -> None:
    text, _ = decode(*[delta("x", number) for number in numbers])
    assert text == "x" * len(numbers)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {"input_tokens": -1, "output_tokens": 2},
        {"input_tokens": "1", "output_tokens": 2},
        {"input_tokens": 1, "output_tokens": 10**30},
        {"input_tokens": True, "output_tokens": 2},
        {"output_tokens": 2, "total_tokens": 2},
    ],
)
def test_usage_that_makes_no_sense_does_not_cost_the_answer(usage: Any) -> None:
    _, decoder = decode(event("response.completed", response={"usage": usage}))
    assert (decoder.reason, decoder.usage) == ("stop", None)
