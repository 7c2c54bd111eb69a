"""The shapes that the conversation API gives. A field that has no value is null, not absent."""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from inspect import cleandoc
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from gpt_assistant_api.api.rest.links import FileLinks
from gpt_assistant_api.domain.errors import ErrorCode
from gpt_assistant_api.domain.files import File
from gpt_assistant_api.domain.messages import Message, MessageStatus, Role
from gpt_assistant_api.domain.runs import Run, RunStatus
from gpt_assistant_api.domain.threads import Thread
from gpt_assistant_api.domain.usage import total
from gpt_assistant_api.services.usage import UserUsage

ImageType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]

_MESSAGE_ID = 42
_THREAD_ID = "thread_5d41402abc4b2a76b9719d911017c592"
_RUN_ID = "run_7d793037a0760186574b0282f2f435e7"
_FILE_ID = "file_9e107d9d372bb6826bd81d3542a419d6"
_CURSOR = "bTQx"
_TIME = "2026-11-24T09:00:00.000000Z"


def _describe(schema: dict[str, Any], shape: type) -> None:
    schema["description"] = cleandoc(shape.__doc__ or "")


class Shape:
    """A shape of an answer.

    A dataclass and no model: what it is made of was checked when it was stored, and a model, which
    checks it again, takes four times as long to make.
    """

    __pydantic_config__ = ConfigDict(json_schema_extra=_describe)


@dataclass(kw_only=True)
class FileOut(Shape):
    """An uploaded image. The links are signed, relative to the server, and expire."""

    file_id: Annotated[str, Field(examples=[_FILE_ID])]
    filename: Annotated[str, Field(examples=["photo.jpg"])]
    content_type: ImageType
    bytes: Annotated[int, Field(description="The size of the stored file.", examples=[204_800])]
    width: Annotated[int, Field(description="In pixels.", examples=[1920])]
    height: Annotated[int, Field(description="In pixels.", examples=[1080])]
    url: Annotated[str, Field(examples=[f"/get-file/{_FILE_ID}?expires=1795000000&signature=..."])]
    thumbnail_url: Annotated[
        str, Field(examples=[f"/get-file/{_FILE_ID}?size=256&expires=1795000000&signature=..."])
    ]
    created_at: Annotated[datetime, Field(examples=[_TIME])]

    @classmethod
    def of(cls, file: File, links: FileLinks) -> "FileOut":
        """Return the shape of a record of the domain."""
        return cls(
            file_id=file.file_id,
            filename=file.filename,
            content_type=cast("ImageType", file.content_type),
            bytes=file.size_bytes,
            width=file.width,
            height=file.height,
            url=links.url(file.file_id),
            thumbnail_url=links.url(file.file_id, size=256),
            created_at=file.created_at,
        )


@dataclass(kw_only=True)
class VersionsOut(Shape):
    """The messages with the same parent and role: regenerated answers, edited prompts."""

    index: Annotated[int, Field(description="Which of them this message is, from 1.", examples=[2])]
    count: Annotated[int, Field(examples=[3])]
    ids: Annotated[list[int], Field(examples=[[40, 42, 44]])]


@dataclass(kw_only=True)
class MessageOut(Shape):
    """One turn of a thread."""

    message_id: Annotated[int, Field(examples=[_MESSAGE_ID])]
    thread_id: Annotated[str, Field(examples=[_THREAD_ID])]
    role: Role
    status: Annotated[
        MessageStatus,
        Field(description="incomplete: stopped, or cut by a limit; the text so far is kept."),
    ]
    content: Annotated[
        str, Field(description="Markdown.", examples=["The sky scatters blue light most."])
    ]
    content_html: Annotated[
        str | None,
        Field(
            description="The Markdown rendered and sanitised, where `format=html` was asked for.",
            examples=["<p>The sky scatters blue light most.</p>"],
        ),
    ] = None
    files: list[FileOut]
    image_id: Annotated[
        str | None, Field(description="The first image's file id.", examples=[_FILE_ID])
    ]
    reply_to: Annotated[
        int | None,
        Field(
            description="On an answer, the user message that it answers; on a user message, the"
            " one that it quotes.",
            examples=[41],
        ),
    ]
    parent_id: Annotated[
        int | None, Field(description="The message before it in its branch.", examples=[41])
    ]
    versions: VersionsOut
    run_id: Annotated[str | None, Field(description="The run that wrote it.", examples=[_RUN_ID])]
    message_time: Annotated[datetime, Field(examples=[_TIME])]

    @classmethod
    def of(
        cls, message: Message, links: FileLinks, content_html: str | None = None
    ) -> "MessageOut":
        """Return the shape of a record of the domain."""
        ids = message.versions or (message.message_id,)
        return cls(
            message_id=message.message_id,
            thread_id=message.thread_id,
            role=message.role,
            status=message.status,
            content=message.content,
            content_html=content_html,
            files=[FileOut.of(file, links) for file in message.files],
            image_id=message.image_id,
            reply_to=message.reply_to,
            parent_id=message.parent_id,
            versions=VersionsOut(
                index=ids.index(message.message_id) + 1, count=len(ids), ids=list(ids)
            ),
            run_id=message.run_id,
            message_time=message.message_time,
        )


@dataclass(kw_only=True)
class ThreadOut(Shape):
    """One conversation of one user."""

    thread_id: Annotated[str, Field(examples=[_THREAD_ID])]
    user_id: Annotated[str, Field(examples=["ada"])]
    title: Annotated[str, Field(examples=["Why is the sky blue?"])]
    head_id: Annotated[
        int | None,
        Field(description="The newest message of the active branch.", examples=[_MESSAGE_ID]),
    ]
    active_run_id: Annotated[str | None, Field(examples=[_RUN_ID])]
    created_at: Annotated[datetime, Field(examples=[_TIME])]
    updated_at: Annotated[datetime, Field(examples=[_TIME])]

    @classmethod
    def of(cls, thread: Thread) -> "ThreadOut":
        """Return the shape of a record of the domain."""
        return cls(
            thread_id=thread.thread_id,
            user_id=thread.user_id,
            title=thread.title,
            head_id=thread.head_id,
            active_run_id=thread.active_run_id,
            created_at=thread.created_at,
            updated_at=thread.updated_at,
        )


@dataclass(kw_only=True)
class UsageOut(Shape):
    """Tokens as the model server counted them."""

    input_tokens: Annotated[int, Field(examples=[120])]
    output_tokens: Annotated[int, Field(examples=[80])]
    total_tokens: Annotated[int, Field(examples=[200])]


@dataclass(kw_only=True)
class RunErrorOut(Shape):
    """Why a run failed or stopped short."""

    code: ErrorCode
    detail: Annotated[str, Field(examples=["The model server took too long."])]


@dataclass(kw_only=True)
class RunOut(Shape):
    """One generation of one answer."""

    run_id: Annotated[str, Field(examples=[_RUN_ID])]
    thread_id: Annotated[str, Field(examples=[_THREAD_ID])]
    message_id: Annotated[int, Field(description="The answer.", examples=[_MESSAGE_ID])]
    reply_to: Annotated[int, Field(description="The user message that it answers.", examples=[41])]
    status: RunStatus
    attempt: Annotated[
        int,
        Field(
            description="How often the run was begun; above 1 after a crash or a handover.",
            examples=[1],
        ),
    ]
    model: Annotated[str | None, Field(examples=["my-model"])]
    usage: UsageOut | None
    error: RunErrorOut | None
    created_at: Annotated[datetime, Field(examples=[_TIME])]
    started_at: Annotated[datetime | None, Field(examples=[_TIME])]
    ended_at: Annotated[datetime | None, Field(examples=[_TIME])]

    @classmethod
    def of(cls, run: Run) -> "RunOut":
        """Return the shape of a record of the domain."""
        usage, error = run.usage, run.error
        return cls(
            run_id=run.run_id,
            thread_id=run.thread_id,
            message_id=run.message_id,
            reply_to=run.reply_to,
            status=run.status,
            attempt=run.attempt,
            model=run.model,
            usage=UsageOut(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                total_tokens=usage.total_tokens,
            )
            if usage
            else None,
            error=RunErrorOut(code=error.code, detail=error.detail) if error else None,
            created_at=run.created_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
        )


@dataclass(kw_only=True)
class AskOut(Shape):
    """What came of an ask: the question as stored, and the answer as it stands."""

    thread_id: Annotated[str, Field(examples=[_THREAD_ID])]
    thread_title: Annotated[str, Field(examples=["Why is the sky blue?"])]
    run: RunOut
    user_message: MessageOut
    message: MessageOut


@dataclass(kw_only=True)
class ThreadPage(Shape):
    """A page of threads, newest activity first."""

    threads: list[ThreadOut]
    next_cursor: Annotated[str | None, Field(examples=[_CURSOR])]


@dataclass(kw_only=True)
class ThreadMessagesPage(Shape):
    """A thread with a page of its messages, oldest first within the page."""

    thread: ThreadOut
    messages: list[MessageOut]
    next_cursor: Annotated[
        str | None, Field(description="The cursor of the older page.", examples=[_CURSOR])
    ]


@dataclass(kw_only=True)
class MessagePage(Shape):
    """A page of messages, oldest first within the page."""

    messages: list[MessageOut]
    next_cursor: Annotated[
        str | None, Field(description="The cursor of the older page.", examples=[_CURSOR])
    ]


@dataclass(kw_only=True)
class SearchResult(Shape):
    """A message that has all words of the query."""

    message: MessageOut
    thread_title: Annotated[str, Field(examples=["Why is the sky blue?"])]
    snippet: Annotated[
        str,
        Field(description="Plain text around the first match.", examples=["… blue light most …"]),
    ]


@dataclass(kw_only=True)
class SearchPage(Shape):
    """A page of search results, newest first."""

    results: list[SearchResult]
    next_cursor: Annotated[str | None, Field(examples=[_CURSOR])]


@dataclass(kw_only=True)
class FieldError(Shape):
    """What is wrong with one field."""

    field: Annotated[str, Field(examples=["user_id"])]
    message: Annotated[str, Field(examples=["is required"])]


class ProblemOut(BaseModel):
    """An error (RFC 9457). Programs look at `code`; `detail` is for people and may change."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:gpt-assistant-api:error:thread_not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such thread."])
    code: ErrorCode
    request_id: str | None = Field(examples=["5f0c9a1e7d3b4c286b1d20e94a7c8f35"])
    errors: list[FieldError] | None = Field(None, description="Which fields are wrong.")


@dataclass(kw_only=True)
class HealthOut(Shape):
    """The process lives."""

    status: Literal["ok"]
    version: Annotated[str, Field(examples=["1.0.0"])]
    open_mode: Annotated[
        bool,
        Field(
            description="Neither keys nor tokens are configured: only loopback clients are served.",
            examples=[False],
        ),
    ]
    model_api: Annotated[str, Field(examples=["responses"])]


@dataclass(kw_only=True)
class ReadinessOut(Shape):
    """Whether the service can do its work, part by part."""

    status: Literal["ready", "not_ready"]
    checks: Annotated[
        dict[str, Any],
        Field(
            examples=[{"database": "ok", "files": "ok", "engine": "ok"}],
            description="`ok`, or the code of what is wrong.",
        ),
    ]


@dataclass(kw_only=True)
class UsedOut(Shape):
    """Runs that ended, and the tokens that the model server counted for them."""

    runs: Annotated[int, Field(description="However they ended.", examples=[3])]
    input_tokens: Annotated[int, Field(examples=[360])]
    output_tokens: Annotated[int, Field(examples=[240])]
    total_tokens: Annotated[int, Field(examples=[600])]


@dataclass(kw_only=True)
class DayOut(UsedOut):
    """What was used on one day of UTC."""

    day: Annotated[date, Field(examples=["2026-11-24"])]


@dataclass(kw_only=True)
class UserUsageOut(Shape):
    """What a user used on every day of a range, together, and stores now."""

    user_id: Annotated[str, Field(examples=["ada"])]
    days: Annotated[list[DayOut], Field(description="Every day of the range, the first one first.")]
    total: UsedOut
    stored_bytes: Annotated[int, Field(description="Of all files of the user.", examples=[204_800])]

    @classmethod
    def of(cls, usage: UserUsage) -> "UserUsageOut":
        """Return the shape of what the service tells."""
        return cls(
            user_id=usage.user_id,
            days=[DayOut(day=day, **asdict(used)) for day, used in usage.days.items()],
            total=UsedOut(**asdict(total(usage.days.values()))),
            stored_bytes=usage.stored_bytes,
        )
