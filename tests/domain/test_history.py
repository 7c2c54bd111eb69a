"""What a model is shown of a thread."""

from hypothesis import given
from hypothesis import strategies as st

from gpt_assistant_api.domain.history import (
    Turn,
    alternating,
    cut_before,
    estimate_tokens,
    quoted,
    shorter,
)

turns = st.lists(
    st.builds(Turn, st.sampled_from(["user", "assistant"]), st.text("ab", min_size=1)), max_size=12
)
tokens = st.integers(1, 200_000)


@given(path=tokens, budget=st.integers(0, 50_000))
def test_what_is_kept_fits_the_budget_and_what_fits_is_kept_whole(path: int, budget: int) -> None:
    cut = cut_before(path, budget)
    assert path - cut <= budget
    assert (cut == 0) == (path <= budget)


@given(path=tokens, budget=st.integers(256, 50_000), more=st.integers(0, 50))
def test_the_cut_only_moves_forward_and_in_steps(path: int, budget: int, more: int) -> None:
    before, after = cut_before(path, budget), cut_before(path + more, budget)
    assert before <= after
    assert after - before in {0, budget // 4}


@given(path=tokens, budget=st.integers(256, 200_000))
def test_a_history_that_is_too_long_shrinks_with_each_try_down_to_the_question(
    path: int, budget: int
) -> None:
    sent, tries = min(path, budget), 0
    while budget:
        budget = shorter(budget, path)
        assert path - cut_before(path, budget) <= sent // 2
        sent, tries = min(path, budget), tries + 1
    assert tries <= 6 or path < 256


@given(turns)
def test_turns_alternate_from_a_user_and_lose_no_word_after_the_first_question(
    given_turns: list[Turn],
) -> None:
    result = alternating(given_turns)
    roles = [turn.role for turn in result]
    assert roles == (["user", "assistant"] * len(roles))[: len(roles)]
    first = next((i for i, turn in enumerate(given_turns) if turn.role == "user"), len(given_turns))
    assert "".join(turn.text.replace("\n", "") for turn in result) == "".join(
        turn.text for turn in given_turns[first:]
    )


@given(st.text(), st.text())
def test_an_estimate_grows_with_the_text_and_never_is_nothing(a: str, b: str) -> None:
    assert 0 < estimate_tokens(a) <= estimate_tokens(a + b) <= estimate_tokens(a + b, 1)


def test_a_quote_stands_above_the_text_line_by_line() -> None:
    assert quoted("one\ntwo", "Why?") == "> one\n> two\n\nWhy?"
    assert quoted("", "Why?") == "> \n\nWhy?"
