"""Forms: their parts as text that is UTF-8, or a refusal.

Where bytes are no UTF-8 the framework takes them for Latin-1, and an urlencoded letter that is not
escaped always. Here a multipart form is read as Latin-1, which keeps every byte, and then decoded.
"""

from email.message import Message
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gpt_assistant_api.domain.asks import MAX_FILES
from gpt_assistant_api.domain.errors import (
    MalformedError,
    UnavailableError,
    UnsupportedMediaError,
)
from gpt_assistant_api.domain.text import MAX_PROMPT_CHARACTERS
from gpt_assistant_api.services.files import Upload

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"

MAX_FIELDS = 64
_MAX_FIELD_BYTES = 4 * MAX_PROMPT_CHARACTERS
_MAX_URLENCODED_BYTES = 4 * _MAX_FIELD_BYTES  # an escaped byte takes three

Part = tuple[str, str | Upload]


async def read_form(request: Request, media_type: str) -> list[Part]:
    """Return the names and values of a form's parts, in their order.

    Files are put aside on the disk beyond 1 MiB; they are for the caller to close.
    Raises MalformedError for what is no form, is no UTF-8 or has too much of something,
    UnsupportedMediaError for a form that says that it has another encoding, and UnavailableError
    where nothing can be put aside.
    """
    try:
        content_type = _content_type_in_latin_1(request)
        if media_type == URLENCODED:
            # In a thread: unescaping is Python, and takes half a second for the longest prompt.
            return await run_in_threadpool(_urlencoded, await request.body())
        return await _multipart(request, content_type)
    except (MultiPartException, ValueError):
        raise MalformedError(
            "The form cannot be read, is not UTF-8, or has too many or too large parts.",
            code="body_malformed",
        ) from None
    except OSError as error:
        raise UnavailableError("Files cannot be taken now.", code="files_unavailable") from error


def _content_type_in_latin_1(request: Request) -> str:
    header = Message()
    header["Content-Type"] = request.headers["content-type"]
    charset = header.get_param("charset", "utf-8")
    if not isinstance(charset, str) or charset.lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaError(
            "The charset of a form must be UTF-8.", code="media_type_unsupported"
        )
    header.set_param("charset", "latin-1")
    return str(header["Content-Type"])


def _urlencoded(body: bytes) -> list[Part]:
    if len(body) > _MAX_URLENCODED_BYTES:
        raise ValueError("too many bytes")
    parts = parse_qsl(
        body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
    )
    return list(parts)


async def _multipart(request: Request, content_type: str) -> list[Part]:
    parser = MultiPartParser(
        Headers({"content-type": content_type}),
        request.stream(),
        max_files=MAX_FILES,
        max_fields=MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    form = await parser.parse()
    try:
        return [(_text(name), _value(value)) for name, value in form.multi_items()]
    except BaseException:
        await form.close()
        raise


def _value(value: str | UploadFile) -> str | Upload:
    if isinstance(value, str):
        return _text(value)
    name = value.filename
    # Of the name, whatever can be read is good enough.
    name = name and name.encode("latin-1").decode(errors="replace")
    return Upload(name, value.file)


def _text(latin_1: str) -> str:
    return latin_1.encode("latin-1").decode()
