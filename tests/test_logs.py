"""What the log shows, and what it never does."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import structlog
import uvicorn
from pydantic import BaseModel, ValidationError

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


def test_where_no_terminal_reads_it_the_log_is_json_whatever_is_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    logger = structlog.get_logger("test")
    logger.info("plain", seconds=0.5, folder=Path("/data"))
    logger.info("odd", half="\ud800", large=2**70)
    plain, odd = map(json.loads, capsys.readouterr().err.splitlines())
    assert (plain["event"], plain["seconds"], plain["level"]) == ("plain", 0.5, "info")
    assert "/data" in plain["folder"]
    assert (odd["half"], odd["large"]) == ("\ud800", 2**70)


def test_on_a_terminal_the_log_is_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logging("info")
    structlog.get_logger("test").info("plain", seconds=0.5)
    shown = capsys.readouterr().err
    assert "plain" in shown
    assert not shown.startswith("{")


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


class Shape(BaseModel):
    """What a validator quotes from."""

    number: int


@pytest.mark.parametrize("format_", ["text", "json"])
def test_what_an_error_quotes_of_a_value_is_not_shown(
    capsys: pytest.CaptureFixture[str], format_: Literal["text", "json"]
) -> None:
    configure_logging("info", format_)
    private = {"number": "my secret words"}
    try:
        try:
            Shape.model_validate(private)
        except ValidationError as error:
            raise ExceptionGroup("several", [error]) from error
    except ExceptionGroup:
        structlog.get_logger("test").exception("request crashed")
        logging.getLogger("library").exception("in a library")
    shown = capsys.readouterr().err
    assert shown.count("ExceptionGroup: several") == 2
    assert shown.count("ValidationError: 1 validation error for Shape") == 4
    assert private["number"] not in shown


def test_a_line_that_nobody_can_read_any_more_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("info", "text")
    with (tmp_path / "log").open("w") as closed:
        monkeypatch.setattr(sys, "stderr", closed)
    structlog.get_logger("test").info("request")


def test_the_servers_own_lines_which_hold_whole_addresses_are_not_written() -> None:
    uvicorn.Config("nobody:app")  # as `uvicorn gpt_assistant_api.app:app` begins
    access = logging.getLogger("uvicorn.access")
    assert access.hasHandlers()
    configure_logging("info", "text")
    assert not access.hasHandlers()  # which is what it asks before it writes one
