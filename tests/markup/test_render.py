import pytest

from gpt_assistant_api.markup import render, render_async
from gpt_assistant_api.markup.code import LANGUAGE_CLASSES, MAX_COLOURED_CHARACTERS

REL = 'target="_blank" rel="noopener noreferrer"'


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("", ""),
        ("# A *b*", "<h1>A <em>b</em></h1>\n"),
        ("a\\\nb ~~c~~", "<p>a<br>\nb <s>c</s></p>\n"),
        ("[a](https://b.example)", f'<p><a href="https://b.example" {REL}>a</a></p>\n'),
        ("<ada@b.example>", f'<p><a href="mailto:ada@b.example" {REL}>ada@b.example</a></p>\n'),
        (
            "![](https://b.example/c)",
            f'<p><a href="https://b.example/c" {REL}>https://b.example/c</a></p>\n',
        ),
        (
            "[![a](https://c.example)](https://b.example)",
            f'<p><a href="https://b.example" {REL}>a</a></p>\n',
        ),
        ("3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>\n'),
        ("Blue【4:0†source】.", "<p>Blue.</p>\n"),
        ("```nonsense\n<a>\n```", "<pre><code>&lt;a&gt;\n</code></pre>\n"),
        ("a\r\nb\rc", "<p>a\nb\nc</p>\n"),
    ],
)
def test_markdown_becomes_html(markdown: str, html: str) -> None:
    assert render(markdown) == html


def test_a_table_aligns_without_styles() -> None:
    html = render("|a|b|\n|:-|-:|\n|c|d|\n")
    assert '<th align="left">a</th>' in html
    assert '<td align="right">d</td>' in html
    assert "style" not in html


def test_a_task_list_has_boxes_that_cannot_be_changed() -> None:
    html = render("- [x] done\n- [ ] open")
    assert html.count("<input") == html.count("disabled") == 2
    assert html.count("checked=") == 1


def test_code_is_coloured_by_classes() -> None:
    html = render("```py\n\ndef f(): pass\n```")
    assert html.startswith('<pre><code class="language-python">\n<span class="k">def</span>')


@pytest.mark.parametrize("language", ["csharp", "java", "C++", "Dockerfile", "tsx", "sh"])
def test_languages_are_known_by_their_usual_names(language: str) -> None:
    assert 'class="language-' in render(f"```{language} title=x\nclass A {{ }}\n```")


@pytest.mark.parametrize(
    "code", ["x = 1\n" * MAX_COLOURED_CHARACTERS, "x" * 301, "x = 1\n" + "\n" * 20 + "y = 2"]
)
def test_long_or_odd_code_is_plain(code: str) -> None:
    assert "<span" not in render(f"```python\n{code}\n```")


@pytest.mark.parametrize(
    "language", sorted(name.removeprefix("language-") for name in LANGUAGE_CLASSES)
)
def test_every_language_has_a_lexer(language: str) -> None:
    assert f'class="language-{language}"' in render(f"```{language}\n1\n```")


@pytest.mark.parametrize("repeats", [1, 2_000])
async def test_rendering_asynchronously_gives_the_same(repeats: int) -> None:
    markdown = "Some *text*.\n\n" * repeats
    assert await render_async(markdown) == render(markdown)
