import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_assistant_api.domain.errors import InvalidError
from gpt_assistant_api.domain.search import (
    MAX_TERM_CHARACTERS,
    MAX_TERMS,
    fts5_query,
    owner_token,
    search_terms,
    snippet,
    tsquery,
)


class Index:
    """The FTS5 table as the database has it."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute(
            "CREATE VIRTUAL TABLE texts USING fts5"
            "(owner, content, tokenize = 'unicode61 remove_diacritics 0')"
        )

    def add(self, user_id: str, content: str) -> None:
        self.connection.execute("INSERT INTO texts VALUES (?, ?)", (owner_token(user_id), content))

    def find(self, user_id: str, q: str) -> list[str]:
        query = fts5_query(search_terms(q), owner_token(user_id))
        rows = self.connection.execute("SELECT content FROM texts WHERE texts MATCH ?", (query,))
        return [content for (content,) in rows]


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    index = Index()
    for text in ("Die Straße ist naß", "The sky is blue", "हिन्दी में", "file_name.txt", "ÉCOLE"):
        index.add("ada", text)
    index.add("bob", "The sky is his")
    yield index
    index.connection.close()


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("sky", ["The sky is blue"]),
        ("BLUE Sky", ["The sky is blue"]),
        ("sk bl", ["The sky is blue"]),
        ("ky", []),
        ("straße", ["Die Straße ist naß"]),
        ("STRAß NAß", ["Die Straße ist naß"]),
        ("हिन्दी", ["हिन्दी में"]),
        ("file_name", ["file_name.txt"]),
        ("école", ["ÉCOLE"]),
        ("sky green", []),
    ],
)
def test_every_word_begins_a_word_of_the_text(index: Index, q: str, found: list[str]) -> None:
    assert index.find("ada", q) == found


@pytest.mark.parametrize(
    "q",
    ['sky" OR owner : "x', "owner:u626f62", "sky OR his", "NEAR(sky his)", "content : his", "^his"],
)
def test_query_syntax_is_only_words(index: Index, q: str) -> None:
    assert "The sky is his" not in index.find("ada", q)


@given(st.text(min_size=1, max_size=60))
def test_no_query_is_a_syntax_error(index: Index, q: str) -> None:
    try:
        index.find("ada", q)
    except InvalidError as error:
        assert not any(character.isalnum() for character in q)
        assert error.details["errors"][0]["field"] == "q"  # noqa: PT017


def test_owners_with_like_ids_are_different(index: Index) -> None:
    assert owner_token("ad") == "u6164"
    assert index.find("ad", "sky") == []
    assert owner_token("Ada") != owner_token("ada")


def test_terms_are_words_as_written_and_each_once() -> None:
    assert search_terms("Hello, hello-World! 3.14 a_b") == ["hello", "World", "3", "14", "a", "b"]


def test_terms_are_few_and_short() -> None:
    assert search_terms("x" * 1000) == ["x" * MAX_TERM_CHARACTERS]
    assert len(search_terms(" ".join(map(str, range(1000))))) == MAX_TERMS


@pytest.mark.parametrize("q", ["", "  ", "***", '"', "\u0301", "_", "\x00"])
def test_a_query_without_a_word_is_refused(q: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        search_terms(q)
    assert refusal.value.code == "invalid_request"


def test_lexemes_are_quoted() -> None:
    assert tsquery(["sky", "blue"]) == "'sky':* & 'blue':*"
    assert tsquery(["a'b\\c"]) == "'a''b\\\\c':*"


def test_a_snippet_shows_the_first_match_on_one_line() -> None:
    text = "First line.\n\n" + "word " * 100 + "the\n sky\tis blue " + "more " * 100
    found = snippet(text, ["sky", "blue"])
    assert found.startswith("…word ")
    assert "word the sky is blue more" in found
    assert found.endswith("…")
    assert len(found) <= 160


def test_a_short_text_is_its_own_snippet() -> None:
    assert snippet("The sky\nis blue", ["sky"]) == "The sky is blue"
    assert snippet("Risky sky", ["sky"]) == "Risky sky"


def test_a_snippet_without_a_match_is_the_beginning() -> None:
    assert snippet("word " * 100, ["zebra"]).startswith("word word")
    assert snippet("", ["a"]) == ""


@given(st.text(max_size=400), st.lists(st.text(min_size=1, max_size=8), max_size=3))
def test_a_snippet_is_one_line_within_its_width(content: str, terms: list[str]) -> None:
    found = snippet(content, terms, width=60)
    assert len(found) <= 60
    assert "\n" not in found
