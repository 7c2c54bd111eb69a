import pytest

from gpt_assistant_api.markup import MAX_MARKDOWN_CHARACTERS, GrowingDocument, render

from .payloads import PAYLOADS, read


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_was_written_never_becomes_code(payload: str) -> None:
    read(render(payload))


@pytest.mark.parametrize(
    "frame", ["> {}", "- {}", "| a |\n|---|\n| {} |", "# {}", "[{}](https://a.example)"]
)
def test_it_does_not_within_other_markdown_either(frame: str) -> None:
    for payload in PAYLOADS:
        read(render(frame.format(payload)))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_it_does_not_at_any_moment_of_a_stream(payload: str) -> None:
    document = GrowingDocument()
    for character in f"Well,\n\n{payload}\n\ntext":
        for block in document.append(character):
            read(block.html)
    for block in document.finish():
        read(block.html)
    read(document.html)


def test_payloads_together_are_as_harmless() -> None:
    for glue in ("", "\n", "\n\n"):
        read(render(glue.join(PAYLOADS)))


def test_nothing_in_an_answer_loads_by_itself() -> None:
    html = render("![a picture](https://elsewhere.example/p.png)")
    assert "<img" not in html
    assert read(html).links == ["https://elsewhere.example/p.png"]
    assert read(html).text.strip() == "a picture"


@pytest.mark.parametrize(
    "link",
    [
        "[x](javascript:alert(1))",
        "[x](data:text/html,x)",
        "[x](/relative)",
        "[x](https://bank.example@evil.example)",
        "<vbscript:x>",
        f"[x](https://a.example/{'a' * 2_048})",
    ],
)
def test_a_link_that_is_refused_is_the_text_that_was_written(link: str) -> None:
    found = read(render(link))
    assert found.links == []
    assert found.text.strip() == link


def test_an_address_is_shown_as_it_is_followed() -> None:
    found = read(render("<https://\u0430pple.example/\u202egnp.exe>"))
    assert found.links == [found.text.strip()]
    assert found.links[0].startswith("https://xn--")


def test_text_that_turns_direction_keeps_its_letters() -> None:
    found = read(render("abc\u202edef `x\u2066y` \u05d0\u200f [a\u200bb\u202e](https://a.example)"))
    assert found.text == "abcdef xy \u05d0\u200f ab\n"


@pytest.mark.parametrize(
    "markdown",
    [
        "> " * 500 + "bottom",
        "- " * 500 + "bottom",
        "*a **b " * 500 + "bottom" + " b** a*" * 500,
        "x " * MAX_MARKDOWN_CHARACTERS + "bottom",
    ],
)
def test_what_is_too_deep_or_too_long_is_shown_as_it_was_written(markdown: str) -> None:
    html = render(markdown)
    assert html.endswith("</code></pre>\n")
    assert "bottom" in read(html).text
    assert html.count("<") < 50


@pytest.mark.parametrize(
    "markdown",
    [
        "|a" * 600 + "|\n" + "|-" * 600 + "|\n" + "|\n" * 5_000,
        ("|a" * 40 + "|\n" + "|-" * 40 + "|\n" + "|\n" * 40 + "\n") * 50,
        "[a]: https://a.example/" + "x" * 2_000 + "\n\n" + "[a]\n\n" * 10_000,
    ],
)
def test_a_short_text_does_not_make_a_huge_page(markdown: str) -> None:
    assert len(render(markdown)) < 40 * len(markdown) + 1_100_000


@pytest.mark.parametrize(
    "pattern",
    [
        "[",
        "![",
        "[[]",
        "[a](",
        "*a **b ",
        "> a\n> - ",
        "`a``",
        "<a ",
        "&#",
        "|a",
        "[a]: ",
        "【4:0†",
        "a\n-",
    ],
)
def test_adversaries_are_rendered_and_lose_no_text(pattern: str) -> None:
    markdown = pattern * (10_000 // len(pattern)) + "\n\nend"
    assert read(render(markdown)).text.rstrip().endswith("end")
