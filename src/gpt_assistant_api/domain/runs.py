"""Runs: one generation of one answer, and how its status may move."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from gpt_assistant_api.domain.errors import ErrorCode

RunStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
EndStatus = Literal["completed", "incomplete", "failed", "cancelled"]
IfBusy = Literal["reject", "interrupt", "enqueue"]

MOVES: Final[dict[RunStatus, frozenset[RunStatus]]] = {
    "queued": frozenset({"in_progress", "cancelled", "failed"}),
    "in_progress": frozenset({"completed", "incomplete", "failed", "cancelled"}),
    "completed": frozenset(),
    "incomplete": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model server counted them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed or stopped short."""

    code: ErrorCode
    detail: str
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `runs`. `message_id` is the answer, `reply_to` the user message it answers.

    `attempt` grows each time a worker begins the run; who holds an older number changes nothing.
    `traceparent` names the request that asked for it, where requests are traced.
    """

    run_id: str
    thread_id: str
    user_id: str
    message_id: int
    reply_to: int
    status: RunStatus
    attempt: int
    model: str | None
    usage: Usage | None
    error: RunError | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    traceparent: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the run has reached one of its ends."""
        return not MOVES[self.status]
