"""Markdown source to top-level blocks of sanitised HTML."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import accumulate
from typing import Any, Final, cast

import nh3
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from gpt_assistant_api.markup.code import (
    COLOUR_CLASSES,
    LANGUAGE_CLASSES,
    coloured,
    language_of,
)
from gpt_assistant_api.markup.links import Parser, undisguised
from gpt_assistant_api.markup.tables import bound_tables

MAX_MARKDOWN_CHARACTERS = 100_000
MAX_NESTING = 20
_MAX_ADDRESS_CHARACTERS = 1_000_000

# They show text in another order than it has: in prose a disguise, in code a trap.
_DIRECTION_CONTROLS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")

_TEXT_TAGS: Final = {"a", "br", "code", "em", "input", "s", "span", "strong"}
_BLOCK_TAGS: Final = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre"}
_LIST_TAGS: Final = {"li", "ol", "ul"}
_TABLE_TAGS: Final = {"table", "tbody", "td", "th", "thead", "tr"}

_CLEANER: Final = nh3.Cleaner(
    tags=_TEXT_TAGS | _BLOCK_TAGS | _LIST_TAGS | _TABLE_TAGS,
    clean_content_tags=set(),
    attributes={
        "*": set(),
        "a": {"href"},
        "input": {"checked", "disabled"},
        "ol": {"start"},
        "td": {"align"},
        "th": {"align"},
    },
    tag_attribute_values={"input": {"type": {"checkbox"}}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    allowed_classes={
        "code": LANGUAGE_CLASSES,
        "input": {"task-list-item-checkbox"},
        "li": {"task-list-item"},
        "span": COLOUR_CLASSES,
        "ul": {"contains-task-list"},
        "ol": {"contains-task-list"},
    },
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer",
)


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """One top-level block: the lines of the source it came from, and its HTML."""

    first_line: int
    end_line: int
    html: str
    address_characters: int


@dataclass(frozen=True, slots=True)
class Context:
    """What blocks leave to those after them: link definitions, and how much linking was done.

    Without a limit, a thousand short uses of one long definition would make a huge page.
    """

    references: dict[str, dict[str, Any]] = field(default_factory=dict)
    address_characters: int = 0


def parse(source: str, context: Context) -> tuple[list[ParsedBlock], Context]:
    """Return the blocks of `source`, and the context as it stands after them."""
    env: dict[str, Any] = {"references": dict(context.references)}
    tokens = _PARSER.parse(source, env)
    lines = source.split("\n")
    blocks = []
    spent = context.address_characters
    for group in _top_level(tokens):
        first, end = group[0].map or [0, 0]
        _prepare(group)
        addresses = sum(_address_characters(token) for token in group)
        spent += addresses
        if _is_deep(group) or spent > _MAX_ADDRESS_CHARACTERS:
            html = plain("\n".join(lines[first:end]))
        else:
            html = _sanitised(_RENDERER.render(group, _PARSER.options, env))
        blocks.append(ParsedBlock(first, end, html, addresses))
    return blocks, Context(env["references"], spent)


def plain(source: str) -> str:
    """Return `source` as it is, in a block of its own."""
    return _sanitised(f"<pre><code>{escape(source)}</code></pre>\n")


def _sanitised(html: str) -> str:
    return _CLEANER.clean(_DIRECTION_CONTROLS.sub("", html))


def _top_level(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    group: list[Token] = []
    for token in tokens:
        group.append(token)
        if token.level == 0 and token.nesting != 1:
            yield group
            group = []


def _prepare(tokens: Sequence[Token]) -> None:
    for token in tokens:
        if token.children:
            token.children = undisguised(_PARSER, token.children)
        elif token.type == "fence":
            token.info = language_of(token.info)
        elif style := token.attrs.pop("style", None):
            token.attrs["align"] = str(style).removeprefix("text-align:")


def _address_characters(token: Token) -> int:
    return sum(len(str(child.attrs.get("href", ""))) for child in token.children or ())


def _is_deep(tokens: Sequence[Token]) -> bool:
    """Tell whether the parser may have dropped something, or a page would be too deep."""
    return any(
        token.level >= MAX_NESTING - 1 or _depth(token.children or ()) > MAX_NESTING
        for token in tokens
    )


def _depth(children: Sequence[Token]) -> int:
    return max(accumulate((child.nesting for child in children), initial=0))


def _make_parser() -> Parser:
    parser = Parser(
        "js-default", {"maxNesting": MAX_NESTING, "tasklists": True, "highlight": coloured}
    )
    bound_tables(parser)
    # Rules are compiled at their first use, which must not happen in two threads at once.
    parser.render("[*a*](https://localhost)")
    return parser


_PARSER: Final = _make_parser()
_RENDERER: Final = cast("RendererHTML", _PARSER.renderer)
