import asyncio
from typing import Any

import pytest

from gpt_assistant_api.markup import (
    GrowingDocument,
    append_async,
    finish_async,
    render,
    render_async,
)
from gpt_assistant_api.markup.blocks import parse

PARAGRAPH = "Some *words* in one `long` paragraph. " * 200
MANY = "A *short* paragraph.\n\n" * 400


def is_on_the_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Record how much was parsed, and whether the event loop had to wait for it."""
    record: list[tuple[int, bool]] = []

    def recorded(source: str, context: Any) -> Any:
        record.append((len(source), is_on_the_event_loop()))
        return parse(source, context)

    monkeypatch.setattr("gpt_assistant_api.markup.growth.parse", recorded)
    return record


@pytest.mark.parametrize("text", [PARAGRAPH, MANY])
async def test_no_long_text_is_rendered_on_the_event_loop(
    parsed: list[tuple[int, bool]], text: str
) -> None:
    document = GrowingDocument()
    for start in range(0, len(text), 500):
        await append_async(document, text[start : start + 500])
    await finish_async(document)
    assert document.html == await render_async(text) == render(text)
    *awaited, _ = parsed
    assert max(size for size, _ in awaited) > 4_000
    assert [size for size, waits in awaited if waits and size > 4_000] == []
