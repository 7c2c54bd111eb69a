"""Markdown as a sequence of blocks, of which only the last ones change while the text grows."""

from dataclasses import dataclass
from itertools import zip_longest

from gpt_assistant_api.domain.citations import split_unfinished, strip_citations
from gpt_assistant_api.markup.blocks import (
    MAX_MARKDOWN_CHARACTERS,
    Context,
    ParsedBlock,
    parse,
    plain,
)

_ALWAYS_RENDERED_CHARACTERS = 2_048
_GROWTH_STEPS = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A top-level block as it stands now. Empty `html`: there is no such block any more."""

    index: int
    html: str


def render(markdown: str) -> str:
    """Return safe HTML for a whole text, without its citation marks.

    What comes after the first MAX_MARKDOWN_CHARACTERS is shown as it was written.
    """
    return "".join(_render_blocks(_with_plain_line_ends(strip_citations(markdown))))


class GrowingDocument:
    """The blocks of a text that arrives in pieces; each is rendered a bounded number of times.

    A block is final once the next one has begun and two line ends have followed. Until then it is
    parsed again with each piece, or, when it is long, each time it has grown by a 16th: growing
    costs time in proportion to the text.

    After `finish`, the blocks joined are `render` of the whole text, always. Before it they differ
    from `render` of the text so far in three cases: a citation mark that is not complete is held
    back, a long block lags behind by up to a 16th, and a link definition does not reach back to
    blocks that are final.
    """

    def __init__(self) -> None:
        self.parsed_characters = 0
        self._source: list[str] = []
        self._held = ""
        self._tail = ""
        self._surplus = ""
        self._room = MAX_MARKDOWN_CHARACTERS
        self._rendered_size = 0
        self._final = 0
        self._html: list[str] = []
        self._context = Context()

    @property
    def html(self) -> str:
        """All blocks as they were last returned."""
        return "".join(self._html)

    @property
    def characters(self) -> int:
        """How long the text is so far, without its citation marks."""
        return sum(map(len, self._source))

    @property
    def open_characters(self) -> int:
        """How much of the text is in blocks that are not final."""
        return len(self._tail) + len(self._surplus)

    def append(self, text: str) -> list[Block]:
        """Take a piece of text; return the blocks that are new or changed."""
        self._take(text)
        size = self.open_characters
        step = size // _GROWTH_STEPS if size > _ALWAYS_RENDERED_CHARACTERS else 1
        if size - self._rendered_size < step:
            return []
        return self._render_tail()

    def finish(self) -> list[Block]:
        """Take the end of the text; return the blocks that changed by it.

        Link definitions that came late now reach every block.
        """
        self._source.append(_with_plain_line_ends(self._held))
        self._held = ""
        html = _render_blocks("".join(self._source))
        self.parsed_characters += sum(map(len, self._source))
        return self._replace(0, html)

    def _take(self, text: str) -> None:
        decided, self._held = split_unfinished(self._held + text)
        if decided.endswith("\r"):
            decided, self._held = decided[:-1], "\r" + self._held
        decided = _with_plain_line_ends(strip_citations(decided))
        self._source.append(decided)
        self._tail += decided[: self._room]
        self._surplus += decided[self._room :]
        self._room = max(0, self._room - len(decided))

    def _render_tail(self) -> list[Block]:
        blocks, context = parse(self._tail, self._context)
        self.parsed_characters += len(self._tail)
        html = [block.html for block in blocks]
        if self._surplus:
            html.append(plain(self._surplus))
        changed = self._replace(self._final, html)
        self._settle(blocks, context)
        self._rendered_size = self.open_characters
        return changed

    def _replace(self, start: int, html: list[str]) -> list[Block]:
        old = self._html[start:]
        self._html[start:] = html
        pairs = zip_longest(old, html, fillvalue="")
        return [Block(i, new) for i, (was, new) in enumerate(pairs, start) if was != new]

    def _settle(self, blocks: list[ParsedBlock], context: Context) -> None:
        """Set the blocks apart that nothing can change any more, with their lines."""
        lines = self._tail.split("\n")
        # Whether a block begins in a line is decided by that line and, for tables, the next one.
        last = next(
            (i for i in range(len(blocks) - 1, 0, -1) if blocks[i].first_line + 2 < len(lines)), 0
        )
        if not last:
            return
        # A definition right before a block may still take some of its lines.
        begin = blocks[last].first_line
        cut = begin if not lines[begin - 1].strip() else blocks[last - 1].end_line
        settled = blocks[:last]
        self._final += last
        self._tail = "\n".join(lines[cut:])
        self._context = Context(
            self._context.references
            | {
                label: reference
                for label, reference in context.references.items()
                if label not in self._context.references and reference["map"][1] <= cut
            },
            self._context.address_characters + sum(block.address_characters for block in settled),
        )


def _render_blocks(source: str) -> list[str]:
    blocks, _ = parse(source[:MAX_MARKDOWN_CHARACTERS], Context())
    html = [block.html for block in blocks]
    if surplus := source[MAX_MARKDOWN_CHARACTERS:]:
        html.append(plain(surplus))
    return html


def _with_plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
