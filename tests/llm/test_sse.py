import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from gpt_assistant_api.domain.errors import ModelError
from gpt_assistant_api.llm.sse import EventSplitter

LINES = st.sampled_from(
    ["data: a", "data:b", "data", "data:", "data:  c", "data: ü€🌈", "event: x", "event:y"]
)
NOISE = st.sampled_from(["event", ": note", ":", "retry: 5", "other: z", "", "", ""])
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def events_of(chunks: list[bytes]) -> list[tuple[bytes, bytes]]:
    splitter = EventSplitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)]


@given(st.lists(st.tuples(LINES | NOISE, LINE_ENDS)), st.lists(st.integers(0, 10_000)))
def test_wherever_the_bytes_are_cut_the_events_are_those_of_the_official_sdk(
    lines: list[tuple[str, str]], cuts: list[int]
) -> None:
    data = "".join(line + end for line, end in lines).encode()
    official = [
        ((event.event or "").encode(), event.data.encode())
        for event in SSEDecoder().iter_bytes(iter([data]))
        if event.data
    ]
    assert [event for event in events_of(split_at(data, cuts)) if event[1]] == official


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000)))
def test_any_bytes_give_the_same_events_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assert events_of(split_at(data, cuts)) == events_of([data])


@given(st.text(), st.text(), st.lists(st.integers(0, 10_000)))
def test_json_survives_every_cut(first: str, second: str, cuts: list[int]) -> None:
    texts = [first, second]
    data = "".join(f"data: {json.dumps(text, ensure_ascii=False)}\r\n\r\n" for text in texts)
    events = events_of(split_at(data.encode(), cuts))
    assert [json.loads(body) for _, body in events] == texts


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_a_byte_order_mark_at_the_very_beginning_is_no_part_of_a_line(size: int) -> None:
    data = "\ufeffdata: a\n\ndata: \ufeffb\n\n".encode()
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert events_of(chunks) == [(b"", b"a"), (b"", "\ufeffb".encode())]


def test_an_event_is_given_with_the_last_byte_of_its_empty_line() -> None:
    splitter = EventSplitter()
    assert list(splitter.feed(b"data: a\r\n\r")) == [(b"", b"a")]
    assert list(splitter.feed(b"\ndata: b\r\r")) == [(b"", b"b")]


def test_an_event_without_its_empty_line_is_dropped() -> None:
    assert events_of([b"data: a\n\ndata: b\n"]) == [(b"", b"a")]


def test_an_endless_event_is_refused_after_those_before_it() -> None:
    fed = EventSplitter(max_event_bytes=10).feed(b"data: b\n\ndata: ccccccccc")
    assert next(fed) == (b"", b"b")
    with pytest.raises(ModelError):
        next(fed)
