"""Model servers: whatever answers the Responses or the Chat Completions API."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gpt_assistant_api.domain.history import Turn
from gpt_assistant_api.domain.runs import Usage

StopReason = Literal["stop", "output_limit", "content_filter", "refusal"]


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How one answer is to be made. `user_tag` tells users apart upstream without their ids."""

    model: str
    instructions: str
    user_tag: str


@dataclass(frozen=True, slots=True)
class Delta:
    """The text that came together: one piece, or all pieces of one read of the socket."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The last thing a stream yields: why it stopped, and what was counted."""

    reason: StopReason
    usage: Usage | None
    model: str | None


class ModelServer(Protocol):
    """One way to have an answer made."""

    def stream(
        self, turns: Sequence[Turn], settings: GenerationSettings
    ) -> AsyncGenerator[Delta | End, None]:
        """Yield deltas, then exactly one End. Closing the generator closes the connection at once.

        Raises ModelError, ContextTooLongError, ModelRateLimitedError or ModelTimeoutError; a stream
        that ends without its terminal marker is a ModelError, after the deltas that came.
        """
        ...

    async def list_models(self) -> list[str]:
        """Return the names of the models that the server offers."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
