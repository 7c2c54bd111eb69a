"""What callers send: one set of names, as JSON, as a multipart or as a urlencoded form."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Final, Literal, Self, TypeVar

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gpt_assistant_api.api.rest.forms import MULTIPART, URLENCODED, Part, read_form
from gpt_assistant_api.api.rest.json_fields import read_json
from gpt_assistant_api.domain.asks import MAX_FILES
from gpt_assistant_api.domain.errors import (
    InvalidError,
    Refusal,
    UnsupportedMediaError,
)
from gpt_assistant_api.domain.runs import IfBusy
from gpt_assistant_api.domain.text import MAX_TITLE_CHARACTERS
from gpt_assistant_api.services.files import Upload

_MAX_MESSAGE_ID = 2**63 - 1
_FORMS = {MULTIPART, URLENCODED}
_JSON = "application/json"
_LISTS: Final = {"file_ids"}
_FILE_PARTS: Final = {"file", "files"}
_PIECE_BYTES: Final = 256 * 1024

Format = Literal["markdown", "html"]


def _whole(value: object) -> object:
    """Return 42 for 42.0: JSON has one kind of number, and some languages write every one so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


MessageId = Annotated[int, Field(ge=1, le=_MAX_MESSAGE_ID), BeforeValidator(_whole)]


class BodyIn(BaseModel):
    """A body: unknown names are refused, so that a misspelt one does not go unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AskIn(BodyIn):
    """A question. A prompt or a file is needed."""

    user_id: str | None = Field(
        None,
        description="Whose thread it is. May be left out with a user token.",
        examples=["ada"],
    )
    prompt: str | None = Field(None, description="Markdown.", examples=["Why is the sky blue?"])
    thread_id: str | None = Field(None, description="Absent: a new thread.")
    file_ids: list[str] = Field([], max_length=MAX_FILES, description="Uploaded images.")
    file_id: str | None = Field(None, description="A single one.")
    reply_to: MessageId | None = Field(None, description="A message of the thread to point at.")
    stream: bool | None = Field(None, description="Answer as server-sent events.")
    format: Format = Field("markdown", description="`html` adds the answer as sanitised HTML.")
    if_busy: IfBusy = Field(
        "reject",
        description="While the thread has an active run: refuse with 409, stop that run and those "
        "that wait (`interrupt`), or wait for its turn (`enqueue`).",
    )


class RegenerateIn(BodyIn):
    """A wish for another answer. Every version is kept."""

    user_id: str | None = Field(None, examples=["ada"])
    thread_id: str
    message_id: MessageId | None = Field(
        None,
        description="The user message to answer again, or an answer to it. Absent: the last one.",
    )
    new_prompt: str | None = Field(
        None, description="An edited version of that message, which is answered instead."
    )
    stream: bool | None = None
    format: Format = "markdown"
    if_busy: IfBusy = "reject"


class UploadIn(BodyIn):
    """The fields beside the file of an upload."""

    user_id: str | None = None


class ThreadIn(BodyIn):
    """What may be changed of a thread; what is left out stays."""

    title: str | None = Field(
        None,
        max_length=MAX_TITLE_CHARACTERS,
        examples=["The blue sky"],
        json_schema_extra={"pattern": r"^[^\x00]*[^\s\x00-\x1f][^\x00]*$"},
    )
    head_id: MessageId | None = Field(
        None,
        description="A message; the branch through it becomes the active one.",
    )


Body = TypeVar("Body", bound=BodyIn)


@dataclass(frozen=True, slots=True)
class Read:
    """A body as read: its fields by name, and its file parts while the block lasts."""

    fields: dict[str, Any]
    uploads: tuple[Upload, ...]
    from_form: bool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self.uploads)

    async def fingerprint(self) -> str:
        """Return what tells this body from any other."""
        digest = hashlib.sha256()
        for upload in self.uploads:
            digest.update(b"file" + await run_in_threadpool(_digest_of, upload.file))
        digest.update(orjson.dumps(self.fields, option=orjson.OPT_SORT_KEYS))
        return digest.hexdigest()

    def of(self, shape: type[Body]) -> Body:
        """Return the fields in a shape, or raise InvalidError naming what does not fit."""
        try:
            return shape.model_validate(self.fields, strict=not self.from_form)
        except ValidationError as error:
            errors = [
                {"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
                for item in error.errors(include_url=False, include_input=False)
            ]
            detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors[:3])
            raise InvalidError(detail, code="invalid_request", errors=errors) from None


async def read_body(request: Request, *, json: bool = True, files: bool = False) -> Read:
    """Read the body as what its Content-Type says and nothing else; `files` may be sent along.

    Raises UnsupportedMediaError for a type that the operation does not take, MalformedError for
    what cannot be read, InvalidError for a field that is given twice.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaError(
            "The body must be sent as it is, without a Content-Encoding.",
            code="media_type_unsupported",
        )
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if json and media_type == _JSON:
        return Read(read_json(await request.body()), (), from_form=False)
    if media_type in _FORMS:
        parts = await read_form(request, media_type)
        try:
            return _of_form(parts, files=files)
        except Refusal:
            _close(value for _, value in parts if isinstance(value, Upload))
            raise
    accepted = sorted({_JSON, *_FORMS} if json else _FORMS)
    raise UnsupportedMediaError(
        f"The Content-Type must be one of: {', '.join(accepted)}.", code="media_type_unsupported"
    )


def _of_form(parts: list[Part], *, files: bool) -> Read:
    fields: dict[str, Any] = {}
    uploads: list[Upload] = []
    for name, value in parts:
        if isinstance(value, Upload):
            if not files:
                raise _wrong(name, "is a file, and none can be sent here")
            if name not in _FILE_PARTS:
                raise _wrong(name, "is not a file field; send files as `file`")
            uploads.append(value)
        elif name in _LISTS:
            fields.setdefault(name, []).extend(part for part in value.split(",") if part)
        elif name in fields:
            raise _wrong(name, "is given twice")
        elif value != "":
            fields[name] = value
    return Read(fields, tuple(uploads), from_form=True)


def _close(uploads: Iterable[Upload]) -> None:
    for upload in uploads:
        upload.file.close()


def _digest_of(file: BinaryIO) -> bytes:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.digest()


def _wrong(name: str, reason: str) -> InvalidError:
    return InvalidError(
        f"{name} {reason}.", code="invalid_request", errors=[{"field": name, "message": reason}]
    )


def request_body(shape: type[BodyIn], *, files: bool = False, json: bool = True) -> dict[str, Any]:
    """Return the OpenAPI description of a body that is read by `read_body`."""
    schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
    form = _form_schema(schema)
    content: dict[str, Any] = {}
    if json:
        content[_JSON] = {"schema": schema}
        content[URLENCODED] = {"schema": form}
    if files:
        part = {"type": "string", "contentMediaType": "application/octet-stream"}
        several = {"type": "array", "items": part, "maxItems": MAX_FILES}
        form = {**form, "properties": {**form["properties"], "file": several if json else part}}
        if not json:
            form["required"] = ["file"]
    content[MULTIPART] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}


def _form_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the shape as a form has it, which cannot say null: a field is left out or empty."""
    properties = {}
    for name, field in schema["properties"].items():
        kept = {key: value for key, value in field.items() if value is not None}
        for kind in kept.pop("anyOf", []):
            if kind != {"type": "null"}:
                kept |= kind
        if "pattern" in kept and name not in schema.get("required", []):
            kept["pattern"] = rf"^(?![\s\S])|{kept['pattern']}"
        properties[name] = kept
    return {**schema, "title": f"{schema['title']}Form", "properties": properties}
