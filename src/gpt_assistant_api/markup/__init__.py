"""Markdown to HTML that is safe to put into a page, whole or while it grows.

What somebody else wrote is never code here. Markdown has no raw HTML, links lead to http, https
and mailto only and open apart, pictures are links to click, and one sanitizer with a short list of
elements has the last word on every block.

Nothing in it takes more than linear time. Where formatting would, it gives way to the plain text:
beyond MAX_MARKDOWN_CHARACTERS, for a block nested deeper than MAX_NESTING, and for code that is too
long or too odd to colour.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gpt_assistant_api.markup.blocks import MAX_MARKDOWN_CHARACTERS, MAX_NESTING
from gpt_assistant_api.markup.growth import Block, GrowingDocument, render

__all__ = [
    "MAX_MARKDOWN_CHARACTERS",
    "MAX_NESTING",
    "Block",
    "GrowingDocument",
    "append_async",
    "finish_async",
    "render",
    "render_async",
]

_INLINE_CHARACTERS = 4_000

Result = TypeVar("Result")


async def render_async(markdown: str) -> str:
    """Return what `render` returns; a text that takes long is rendered in a thread."""
    return await _in_time(len(markdown), render, markdown)


async def append_async(document: GrowingDocument, text: str) -> list[Block]:
    """Do what `document.append` does, in a thread where that takes long."""
    return await _in_time(document.open_characters + len(text), document.append, text)


async def finish_async(document: GrowingDocument) -> list[Block]:
    """Do what `document.finish` does, in a thread where that takes long."""
    return await _in_time(document.characters, document.finish)


async def _in_time(characters: int, work: Callable[..., Result], *arguments: str) -> Result:
    if characters <= _INLINE_CHARACTERS:
        return work(*arguments)
    return await asyncio.to_thread(work, *arguments)
