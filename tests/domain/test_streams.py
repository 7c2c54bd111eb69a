from contextlib import ExitStack

import pytest

from gpt_assistant_api.domain.errors import RateLimitedError
from gpt_assistant_api.domain.streams import OpenStreams


def refusal(streams: OpenStreams, user_id: str, key_id: str | None = None) -> str | None:
    """Open a stream for a moment; return why it cannot be, or None."""
    try:
        with streams.one_more(user_id, key_id):
            return None
    except RateLimitedError as error:
        return error.message


def test_streams_are_counted_by_user_by_key_and_in_all() -> None:
    streams = OpenStreams(per_user=2, per_key=3, per_process=4)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(streams.one_more("ada", "key_1"))
        assert refusal(streams, "ada") == "2 streams of this user are open already."
        assert refusal(streams, "bob", "key_1") is None
        held.enter_context(streams.one_more("bob", "key_1"))
        assert refusal(streams, "bob", "key_1") == "3 streams of this key are open already."
        assert refusal(streams, "bob", "key_2") is None
        held.enter_context(streams.one_more("key_1", None))
        assert refusal(streams, "cy") == "4 streams of this server are open already."
    for _ in range(5):
        assert refusal(streams, "ada", "key_1") is None


def test_what_was_refused_or_broke_takes_no_place() -> None:
    streams = OpenStreams(per_user=1, per_process=2)
    with streams.one_more("ada", None):
        for _ in range(3):
            assert refusal(streams, "ada") is not None
        assert refusal(streams, "bob") is None
    with pytest.raises(ZeroDivisionError), streams.one_more("ada", None):
        raise ZeroDivisionError
    assert refusal(streams, "ada") is None


def test_a_refusal_says_when_to_come_back() -> None:
    streams = OpenStreams(per_user=1)
    with (
        streams.one_more("ada", None),
        pytest.raises(RateLimitedError) as refused,
        streams.one_more("ada", None),
    ):
        pass
    assert (refused.value.code, refused.value.retry_after_seconds) == ("too_many_streams", 5)


def test_zero_means_no_limit() -> None:
    streams = OpenStreams()
    with ExitStack() as held:
        for _ in range(1_000):
            held.enter_context(streams.one_more("ada", "key_1"))
