"""What a caller asks for, once it has been read and checked by a face."""

from dataclasses import dataclass

from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import IfBusy, Run
from gpt_assistant_api.domain.threads import Thread

MAX_FILES = 10


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt with its files. `fingerprint` tells requests under one idempotency key apart."""

    user_id: str | None
    prompt: str
    thread_id: str | None = None
    file_ids: tuple[str, ...] = ()
    reply_to: int | None = None
    if_busy: IfBusy = "reject"
    idempotency_key: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Regenerate:
    """A wish for another answer, to an edited prompt where `new_prompt` is given."""

    user_id: str | None
    thread_id: str
    message_id: int | None = None
    new_prompt: str | None = None
    if_busy: IfBusy = "reject"
    idempotency_key: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of it: the run, its thread, and the user message with files and versions."""

    run: Run
    thread: Thread
    question: Message


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one user may use, and all users of one key together; 0 is no limit."""

    concurrent_runs: int = 0
    tokens_per_day: int = 0
    concurrent_runs_per_key: int = 0
    tokens_per_day_per_key: int = 0
    storage_bytes: int = 0
