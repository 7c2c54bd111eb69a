"""What the log shows, and what it never does."""

import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from gpt_assistant_api.logs import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def crash(prompt: str) -> None:
    """Fail with something private at hand."""
    raise RuntimeError(f"a prompt of {len(prompt)} characters")


@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_traceback_shows_the_code_and_no_values(
    capsys: pytest.CaptureFixture[str], format_: Literal["text", "json"]
) -> None:
    configure_logging("info", format_)
    try:
        crash("my secret words")
    except RuntimeError:
        structlog.get_logger("test").exception("request crashed", run_id="run_1")
    shown = capsys.readouterr().err
    assert "request crashed" in shown
    assert "run_1" in shown
    assert "RuntimeError: a prompt of 15 characters" in shown
    assert "in crash" in shown
    assert "prompt = " not in shown
