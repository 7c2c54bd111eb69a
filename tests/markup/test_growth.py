import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpt_assistant_api.markup import MAX_MARKDOWN_CHARACTERS, Block, GrowingDocument, render

fragments = st.sampled_from(
    [
        *(
            "word ",
            "a",
            "\n",
            "\n\n",
            "\r\n",
            "  ",
            "    ",
            "\t",
            "#",
            "# ",
            "## head\n",
            "-",
            "- ",
            "* ",
            "+",
        ),
        *(
            "1. ",
            "2) ",
            "12",
            ".",
            "> ",
            ">",
            "---\n",
            "===",
            "=\n",
            "***\n",
            "```",
            "```py\n",
            "~~~\n",
            "`",
        ),
        *(
            "|",
            "a|b\n",
            "-|-\n",
            "|-|-|\n",
            "- [x] ",
            "*",
            "**",
            "~~",
            "_",
            "&amp;",
            "\\",
            "<b>",
            "![a](",
        ),
        *(
            "https://a.example",
            ")",
            "](",
            "【4:0†source】",
            "【",
            "†",
            "def f():\n",
            "'title\n",
            '"',
        ),
    ]
)
references = st.sampled_from(["[a]: https://b.example\n", "[a]", "[a]:", "[", "]", ": ", "'\n"])
documents = st.lists(fragments, max_size=40).map("".join)
with_references = st.lists(fragments | references, max_size=40).map("".join)


def grow(document: GrowingDocument, text: str, size: int) -> list[Block]:
    """Append `text` in pieces of `size`; return every block that was sent."""
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return [block for piece in pieces for block in document.append(piece)]


def page(blocks: list[Block]) -> str:
    """Return what a page shows that replaces one element for each block it is sent."""
    elements: dict[int, str] = {}
    for block in blocks:
        elements[block.index] = block.html
    return "".join(elements[index] for index in sorted(elements))


@given(documents, st.integers(1, 50))
@example("para\na|b\n-|-\nx", 1)
@example("1. a\n\n2\n. b", 1)
@example("a\n#\nb", 1)
def test_a_page_that_follows_the_blocks_ends_with_the_whole(text: str, size: int) -> None:
    document = GrowingDocument()
    sent = grow(document, text, size) + document.finish()
    assert page(sent) == document.html == render(text)


@given(documents, st.integers(1, 50))
def test_before_the_end_it_shows_the_text_so_far(text: str, size: int) -> None:
    document = GrowingDocument()
    sent = grow(document, text, size)
    held = len(document._held)
    assert page(sent) == render(text[: len(text) - held])


@given(with_references, st.integers(1, 50))
def test_definitions_reach_every_block_at_the_end(text: str, size: int) -> None:
    document = GrowingDocument()
    sent = grow(document, text, size) + document.finish()
    assert page(sent) == render(text)


@given(documents)
def test_only_blocks_that_changed_are_sent(text: str) -> None:
    document, known = GrowingDocument(), dict[int, str]()
    for character in text:
        for block in document.append(character):
            assert known.get(block.index, "") != block.html
            known[block.index] = block.html


def test_a_definition_serves_the_blocks_after_it_at_once() -> None:
    document = GrowingDocument()
    grow(document, "[a]: https://b.example\n\none\n\ntwo\n\nthree\n\nsee [a]", 1)
    assert 'href="https://b.example"' in document.html


def test_a_later_definition_waits_for_the_end() -> None:
    document = GrowingDocument()
    grow(document, "see [a]\n\n# two\n\nthree\n\n[a]: https://b.example\n\nfour", 1)
    assert "href" not in document.html
    changed = document.finish()
    assert [block.index for block in changed] == [0]
    assert 'href="https://b.example"' in changed[0].html


def test_an_unfinished_citation_mark_is_never_shown() -> None:
    document = GrowingDocument()
    sent = grow(document, "The sky is blue【4:0†source】. Yes【4:1†a file.pdf】", 1)
    assert not [block for block in sent if "【" in block.html]
    assert page(sent) == "<p>The sky is blue. Yes</p>\n"


def test_what_only_began_like_a_mark_appears_at_the_end() -> None:
    document = GrowingDocument()
    document.append("See 【4:0")
    assert document.html == "<p>See</p>\n"
    assert document.finish() == [Block(0, "<p>See 【4:0</p>\n")]


def test_a_paragraph_that_turns_out_to_be_a_definition_vanishes() -> None:
    document = GrowingDocument()
    document.append("[a]:")
    assert document.append(" https://b.example") == [Block(0, "")]


def answer(paragraphs: int) -> str:
    part = "## Head\n\nSome *words* and `code` here.\n\n- one\n- two\n\n```py\nx = 1\n```\n\n"
    return part * paragraphs


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        (answer(80), answer(160)),
        ("word " * 1_600, "word " * 3_200),
        ("```py\n" + "x = 1\n" * 1_300, "```py\n" + "x = 1\n" * 2_600),
        ("- item\n" * 900, "- item\n" * 1_800),
        ("a|b\n-|-\n" + "c|d\n" * 1_300, "a|b\n-|-\n" + "c|d\n" * 2_600),
    ],
    ids=["answer", "paragraph", "code", "list", "table"],
)
def test_growing_twice_as_long_costs_about_twice_as_much(text: str, twice: str) -> None:
    parsed = []
    for markdown in (text, twice):
        document = GrowingDocument()
        grow(document, markdown, 40)
        parsed.append(document.parsed_characters)
    assert parsed[1] < 2.3 * parsed[0]
    assert parsed[1] < 30 * len(twice)


def test_a_text_beyond_the_limit_goes_on_as_it_is() -> None:
    text = "A *line*.\n\n" * (MAX_MARKDOWN_CHARACTERS // 11) + "tail *plain* " * 400
    document = GrowingDocument()
    sent = grow(document, text, 1_000) + document.finish()
    assert page(sent) == document.html == render(text)
    assert document.html.endswith("tail *plain* </code></pre>\n")
