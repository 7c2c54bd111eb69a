import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_assistant_api.domain.citations import (
    MAX_MARK_CHARACTERS,
    split_unfinished,
    strip_citations,
)


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("Blue【4:0†source】.", "Blue."),
        ("a【13†L1-L5】【0:12†my file (2).pdf】b", "ab"),
        ("【注意】 and 【†】 and 【4:0】 stay", "【注意】 and 【†】 and 【4:0】 stay"),
        ("【4:0†sou\nrce】", "【4:0†sou\nrce】"),
        ("【4:0†source", "【4:0†source"),
        ("", ""),
    ],
)
def test_only_citation_marks_are_removed(text: str, stripped: str) -> None:
    assert strip_citations(text) == stripped


def test_a_mark_that_has_begun_is_set_apart() -> None:
    assert split_unfinished("Blue【4:") == ("Blue", "【4:")
    assert split_unfinished("Blue【4:0†sour") == ("Blue", "【4:0†sour")


def test_what_cannot_become_a_mark_is_not_held_back() -> None:
    for text in (
        "【注",
        "【4:0†a】",
        "【4:0 ",
        "【4†a\n",
        "【4†" + "a" * MAX_MARK_CHARACTERS,
        "plain",
    ):
        assert split_unfinished(text) == (text, "")


marks = st.text("【】†0:a\n", max_size=8) | st.just("【4:0†source】") | st.just("a" * 290)


@given(st.lists(marks, max_size=30), st.integers(1, 7))
def test_stripping_pieces_equals_stripping_the_whole(parts: list[str], size: int) -> None:
    text, held, pieces = "".join(parts), "", []
    for start in range(0, len(text), size):
        decided, held = split_unfinished(held + text[start : start + size])
        assert len(held) <= MAX_MARK_CHARACTERS
        pieces.append(strip_citations(decided))
    assert "".join(pieces) + held == strip_citations(text)
