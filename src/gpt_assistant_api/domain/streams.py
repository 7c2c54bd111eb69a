"""How many streams are open on this server: of each user, of each key, and in all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from gpt_assistant_api.domain.errors import RateLimitedError

_RETRY_AFTER_SECONDS = 5

Whose = tuple[Literal["user", "key", "server"], str]


class OpenStreams:
    """Counts open streams; a limit of 0 is none."""

    def __init__(self, *, per_user: int = 0, per_key: int = 0, per_process: int = 0) -> None:
        self._limits = {"user": per_user, "key": per_key, "server": per_process}
        self._open: Counter[Whose] = Counter()

    @contextmanager
    def one_more(self, user_id: str, key_id: str | None) -> Iterator[None]:
        """Count a stream while the block lasts. Raises RateLimitedError over a limit."""
        counted: list[Whose] = [("server", ""), ("user", user_id)]
        if key_id is not None:
            counted.append(("key", key_id))
        for whose in counted:
            limit = self._limits[whose[0]]
            if limit and self._open[whose] >= limit:
                raise RateLimitedError(
                    f"{limit} streams of this {whose[0]} are open already.",
                    code="too_many_streams",
                    retry_after_seconds=_RETRY_AFTER_SECONDS,
                )
        self._open.update(counted)
        try:
            yield
        finally:
            self._open.subtract(counted)
            for whose in counted:
                if not self._open[whose]:
                    del self._open[whose]
