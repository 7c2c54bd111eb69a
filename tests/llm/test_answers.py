import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_assistant_api.domain.text import storable
from gpt_assistant_api.llm import Delta, End, answers
from gpt_assistant_api.llm.answers import AnswerText, parse
from tests.llm.builders import APIS, QUESTION, SETTINGS, Api, collect, make_server
from tests.model_server import Answer, ModelServerSimulation

STRING = msgspec.json.Decoder(str)


def halves(text: str) -> str:
    """Return `text` as UTF-16 code units, as JSON escapes name them."""
    units = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(units[at] | units[at + 1] << 8) for at in range(0, len(units), 2))


@given(st.text(st.characters(codec=None)), st.lists(st.integers(0, 1_000)))
def test_text_cut_inside_surrogate_pairs_comes_out_whole(text: str, cuts: list[int]) -> None:
    units = halves(text)
    places = [0, *sorted(cut % (len(units) + 1) for cut in cuts), len(units)]
    joined = AnswerText()
    came = [joined.add(units[start:end]) for start, end in pairwise(places)]
    whole = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert "".join(came) + joined.rest() == storable(whole)


@given(st.text(st.characters(codec=None)))
def test_any_json_string_is_read_even_where_strict_decoders_refuse_it(text: str) -> None:
    assert parse(STRING, json.dumps(text).encode()) == json.loads(json.dumps(text))


def test_broken_utf8_costs_a_character_and_not_the_answer() -> None:
    assert parse(STRING, b'"a\xffb"') == "a\ufffdb"


@pytest.mark.parametrize("api", APIS)
async def test_forbidden_characters_become_the_replacement_character(
    upstream: ModelServerSimulation, api: Api
) -> None:
    pieces = ["a\x00", "\ud83c", "\udf08", "b", "\udf08", "c\ud83c"]
    upstream.script(Answer(pieces=pieces, text="".join(pieces)))
    server = make_server(upstream.url, api)
    text, end = await collect(server.stream(QUESTION, SETTINGS))
    await server.close()
    assert (text, end.reason) == ("a\ufffd🌈b\ufffdc\ufffd", "stop")


@pytest.mark.parametrize("api", APIS)
async def test_an_answer_without_end_is_cut_at_the_limit(
    upstream: ModelServerSimulation, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER_CHARACTERS", 10)
    upstream.script(Answer(text="x" * 100, pieces=3, pause_after=5))
    server = make_server(upstream.url, api)
    text, end = await collect(server.stream(QUESTION, SETTINGS))
    await server.close()
    assert (text, end.reason) == ("x" * 10, "output_limit")
    assert await upstream.requests[0].wait_closed()


async def test_deltas_that_come_together_are_one_delta(upstream: ModelServerSimulation) -> None:
    blocks = [
        b'event: response.output_text.delta\ndata: {"delta":"ab"}\n\n',
        b'event: response.output_text.delta\ndata: {"delta":"cd"}\n\n',
        b'event: response.completed\ndata: {"response":{"model":"m\\n\\u0000"}}\n\n',
    ]
    upstream.script(Answer(raw=b"".join(blocks)))
    server = make_server(upstream.url, "responses")
    items = [item async for item in server.stream(QUESTION, SETTINGS)]
    await server.close()
    assert items == [Delta("abcd"), End("stop", None, "m")]
