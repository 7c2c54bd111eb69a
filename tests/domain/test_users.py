"""Whose things they are is told letter by letter."""

import pytest

from gpt_assistant_api.domain.errors import InvalidError
from gpt_assistant_api.domain.users import checked_user_id


@pytest.mark.parametrize("user_id", ["ada", "ä", "a b", "ada@example.com", "\U0001f41d", "a" * 255])
def test_an_id_of_the_application_is_taken_as_it_is(user_id: str) -> None:
    assert checked_user_id(user_id) == user_id


@pytest.mark.parametrize(
    "user_id", ["", " ada", "a/b", "a\\b", "..", "a\nb", "a\0b", "a" * 256, "\ud800"]
)
def test_an_id_that_no_path_can_have_is_refused(user_id: str) -> None:
    with pytest.raises(InvalidError):
        checked_user_id(user_id)


def test_ids_that_are_no_text_do_not_become_the_same() -> None:
    for wrong in (b"\xff", b"\xfe", b"\xed\xa0\x80"):  # a path's bytes, as they come to a route
        with pytest.raises(InvalidError):
            checked_user_id(wrong.decode("utf-8", "replace"))
