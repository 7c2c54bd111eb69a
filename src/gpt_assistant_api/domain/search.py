"""What people search for: words as data, never as anybody's query syntax."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby, islice

from gpt_assistant_api.domain.text import invalid_field, one_line

MAX_TERMS = 10
MAX_TERM_CHARACTERS = 64
SNIPPET_CHARACTERS = 160


def search_terms(q: str) -> list[str]:
    """Return the first words of a query, as they were written, each once.

    A word is a run of letters and digits with their marks, cut at MAX_TERM_CHARACTERS. Upper and
    lower case stay: each database folds words and query in its own way, and no folding done here
    would suit both. Raises InvalidError when there is no word.
    """
    runs = ("".join(run) for inside, run in groupby(q, _is_word_character) if inside)
    words = (run[:MAX_TERM_CHARACTERS] for run in runs if any(map(str.isalnum, run)))
    terms = {word.casefold(): word for word in islice(words, MAX_TERMS)}
    if not terms:
        raise invalid_field("q", "has no letter and no digit to search for")
    return list(terms.values())


def owner_token(user_id: str) -> str:
    """Return one indexable word that stands for the user, whatever their id looks like."""
    return "u" + user_id.encode().hex()


def fts5_query(terms: Sequence[str], owner: str) -> str:
    """Return the FTS5 query for a user's texts with all words, each the beginning of a word.

    `owner` is an `owner_token`; the table has the columns `owner` and `content`.
    """
    words = " AND ".join(f"{_fts5_quoted(term)} *" for term in terms)
    return f"owner : {_fts5_quoted(owner)} AND content : ({words})"


def tsquery(terms: Sequence[str]) -> str:
    """Return the same words for PostgreSQL's `to_tsquery('simple', ...)`."""
    return " & ".join(f"{_lexeme(term)}:*" for term in terms)


def snippet(content: str, terms: Sequence[str], width: int = SNIPPET_CHARACTERS) -> str:
    """Return about `width` characters around the first match, on one line and as plain text."""
    words = "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True))
    match = re.search(rf"(?<![^\W_])(?:{words})", content, re.IGNORECASE) if terms else None
    start = match.start() if match else 0
    before = _end_of_line(content[max(0, start - width) : start], width // 3, start > width)
    return before + one_line(content[start:], width - len(before))


def _is_word_character(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _fts5_quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _lexeme(term: str) -> str:
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _end_of_line(text: str, limit: int, more: bool) -> str:
    """Return the last words of `text`, with an ellipsis where something was left out."""
    words = one_line(text, len(text) + 1)
    gap = " " if words and text[-1].isspace() else ""
    if len(words) + len(gap) > limit:
        words, more = words[-limit:], True
    if more:
        words = "…" + words.partition(" ")[2]
    return words + gap
