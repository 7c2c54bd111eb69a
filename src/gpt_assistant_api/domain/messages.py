"""Messages: a thread is a tree of them, and nothing in it is overwritten."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gpt_assistant_api.domain.files import File

Role = Literal["user", "assistant"]
MessageStatus = Literal["in_progress", "completed", "incomplete", "failed"]
Branch = Literal["active", "all"]


@dataclass(frozen=True, slots=True)
class Message:
    """A row of `messages`, with its files and versions where the query asked for them.

    `parent_id` is the message before this one in its branch; `path_tokens` is the estimate of all
    text on the path from the root to this message, itself included, and decides where history is
    cut. `versions` are the ids of the messages with the same parent and role, ascending; none where
    it is the only one.
    """

    message_id: int
    thread_id: str
    user_id: str
    role: Role
    status: MessageStatus
    content: str
    image_id: str | None
    reply_to: int | None
    parent_id: int | None
    run_id: str | None
    path_tokens: int
    message_time: datetime
    files: tuple[File, ...] = ()
    versions: tuple[int, ...] = ()
