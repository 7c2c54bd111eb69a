"""Threads: one conversation of one user."""

from dataclasses import dataclass
from datetime import datetime

from gpt_assistant_api.domain.text import (
    MAX_TITLE_CHARACTERS,
    checked_text,
    invalid_field,
    one_line,
)

UNTITLED = "New thread"


@dataclass(frozen=True, slots=True)
class Thread:
    """A row of `threads`. `head_id` is the newest message of the active branch."""

    thread_id: str
    user_id: str
    title: str
    head_id: int | None
    active_run_id: str | None
    created_at: datetime
    updated_at: datetime


def title_from(prompt: str) -> str:
    """Return a title for a thread that begins with `prompt`."""
    first = next((line for line in prompt.splitlines() if line.strip()), "")
    return one_line(first, 60) or UNTITLED


def checked_title(title: str) -> str:
    """Return a title a person chose, or raise InvalidError."""
    checked_text(title, field="title", limit=MAX_TITLE_CHARACTERS)
    if not title.strip():
        raise invalid_field("title", "is empty")
    return title.strip()
