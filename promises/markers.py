"""Text that tells whose it is: every prompt names its user, every answer repeats it with its try.

So an audit knows what each question must have been answered with, sees an answer that is made of
two attempts, and finds one user's words wherever they have no business to be.
"""

import re
import threading
from collections import Counter
from dataclasses import replace
from typing import Any

from tests.model_server import Answer, RecordedRequest

_USER = re.compile(r"u[0-9a-f]{8}(?![0-9a-f])")
_MARKER = re.compile(r"(u[0-9a-f]{8}m(\d+))x")
_TRY = re.compile(r"x(\d+)w")


def prompt_of(user_id: str, number: int) -> str:
    """Return a prompt that nobody else ever sends."""
    return f"Say {user_id}m{number}x at length."


def marker_of(prompt: str) -> str:
    """Return what an answer to the prompt is made of."""
    match = _MARKER.search(prompt)
    assert match, prompt
    return match[1]


def users_in(text: str) -> set[str]:
    """Return the users whose words these are."""
    return set(_USER.findall(text))


def whole_answer(marker: str, attempt: int) -> str:
    """Return what the model says when it is asked for the `attempt`th time."""
    number = int(marker.rpartition("m")[2])
    return " ".join(f"{marker}x{attempt}w{word}" for word in range(20 + number * 7 % 60))


def fails(marker: str) -> bool:
    """Tell whether the model fails at this prompt, each time."""
    number = int(marker.rpartition("m")[2])
    return number % 16 in {7, 15}


def is_answer(text: str, prompt: str, *, whole: bool) -> bool:
    """Tell whether a text is one answer to the prompt, or the beginning of one."""
    if not text:
        return not whole
    found = _TRY.search(text)
    if found is None:  # cut within its first word
        return not whole and f"{marker_of(prompt)}x".startswith(text[: len(marker_of(prompt)) + 1])
    expected = whole_answer(marker_of(prompt), int(found[1]))
    return text == expected if whole else expected.startswith(text)


class Model:
    """What the model server says to these prompts: a script for its simulation."""

    def __init__(self, *, pieces: int = 30, delay_seconds: float = 0.01) -> None:
        self._pieces = pieces
        self._delay_seconds = delay_seconds
        self._tries: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.mixed: list[set[str]] = []
        """The users of each request that had words of more than one."""

    def __call__(self, request: RecordedRequest) -> Answer:
        """Answer the last prompt of the request."""
        said = str(_texts(request.body))
        users = users_in(said)
        marker = _MARKER.findall(said)[-1][0]
        with self._lock:
            self._tries[marker] += 1
            attempt = self._tries[marker]
            if len(users) > 1:
                self.mixed.append(users)
        answer = Answer(
            text=whole_answer(marker, attempt), pieces=self._pieces,
            delay_seconds=self._delay_seconds,
        )  # fmt: skip
        if not fails(marker):
            return answer
        if marker.endswith("7"):
            return Answer(status=400)
        return replace(answer, cut_after=4)


def _texts(body: Any) -> list[str]:
    """Return every text of a request in order, whichever API it speaks."""
    if isinstance(body, str):
        return [body]
    if isinstance(body, dict):
        return [text for value in body.values() for text in _texts(value)]
    if isinstance(body, list):
        return [text for value in body for text in _texts(value)]
    return []
