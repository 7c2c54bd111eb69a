"""Work that goes on for as long as the process, whatever comes up."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gpt_assistant_api.domain.errors import UnavailableError

AGAIN_SECONDS = 1.0

log = structlog.get_logger(__name__)


async def keep_up(trouble: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do work that never ends by itself, and begin it again after each trouble, which is logged."""
    while True:
        try:
            await work()
        except UnavailableError as error:
            log.warning(trouble, error=cause(error))
        except Exception:  # unforeseen, and without this loop runs or watchers would be forgotten
            log.exception(trouble)
        await asyncio.sleep(AGAIN_SECONDS)


def cause(error: Exception) -> str:
    """Return in a word what is behind an error."""
    return type(error.__cause__ or error).__name__
