"""Upload a file, and get one by a signed link or a credential."""

import time
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from gpt_assistant_api.api.rest.bodies import UploadIn, read_body, request_body
from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.context import Absent, responses, router
from gpt_assistant_api.api.rest.problems import problem
from gpt_assistant_api.api.rest.ranges import UnsatisfiableRangeError, is_unchanged, wanted_range
from gpt_assistant_api.api.rest.rates import count_user
from gpt_assistant_api.api.rest.schemas import FileOut
from gpt_assistant_api.domain import links as signatures
from gpt_assistant_api.domain.errors import ForbiddenError, NotFoundError
from gpt_assistant_api.domain.files import File
from gpt_assistant_api.domain.ids import is_id
from gpt_assistant_api.domain.text import invalid_field
from gpt_assistant_api.runtime import Runtime
from gpt_assistant_api.services import files

routes = router("Files")

# As text, so that a signed link has one spelling: a number could also be written as +64 or 064.
Size = Literal["64", "128", "256", "512", "1024"]
Moment = Annotated[str, StringConstraints(pattern="^[1-9][0-9]{0,14}$")]


@routes.post(
    "/upload-file",
    operation_id="upload_file",
    summary="Upload an image",
    status_code=201,
    responses=responses(400, 413, 415),
    openapi_extra=request_body(UploadIn, files=True, json=False),
)
async def upload_file(call: Call) -> FileOut:
    """Store a JPEG, PNG, GIF or WEBP for a user.

    It is recognised by its bytes, turned upright and rid of its metadata. A key may leave `user_id`
    out: the first ask that names the file makes it that user's.
    """
    runtime, actor = call.runtime, call.actor
    with await read_body(call, json=False, files=True) as read:
        body = read.of(UploadIn)
        if len(read.uploads) != 1:
            raise invalid_field("file", "is needed, exactly once")
        await count_user(call, actor, body.user_id)
        file = await files.upload_file(
            runtime.database,
            runtime.blobs,
            actor,
            body.user_id,
            read.uploads[0],
            runtime.telemetry,
            storage_bytes=runtime.run_limits.storage_bytes,
        )
    return FileOut.of(file, call.links)


@routes.get(
    "/get-file/{file_id}",
    operation_id="get_file",
    summary="Get a file",
    response_class=StreamingResponse,
    responses=responses(
        404,
        416,
        ok={
            200: {"content": {f"image/{kind}": {} for kind in ("jpeg", "png", "gif", "webp")}},
            206: {"description": "The wanted part."},
            304: {"description": "The client has it already."},
        },
    ),
)
async def get_file(
    call: Call,
    file_id: Annotated[str, Path(examples=["file_9e107d9d372bb6826bd81d3542a419d6"])],
    size: Annotated[
        Size | Absent, Query(description="The longest side of a thumbnail, in pixels.")
    ] = None,
    expires: Annotated[Moment | Absent, Query(description="Part of a signed link.")] = None,
    signature: Annotated[
        str | Absent, Query(max_length=100, description="Part of a signed link.")
    ] = None,
) -> Response:
    """Send the file's bytes, or a thumbnail. Ranges and conditional requests work.

    Opened by the links in answers, until they expire, or by the owner's credential.
    """
    if not is_id("file", file_id):
        raise NotFoundError("There is no such file.", code="file_not_found")
    pixels = None if size is None else int(size)
    if signature is not None:
        _check_link(call.runtime, file_id, pixels, expires, signature)
    actor = call.actor if signature is None else None
    file = await files.get_file(call.runtime.database, file_id, actor)
    etag = f'"{file.sha256[:32]}{f"-{size}" if size else ""}"'
    headers = _headers(file, etag)
    if is_unchanged(call.headers, etag):
        return Response(status_code=304, headers=headers)
    if pixels is not None:
        data, content_type = await files.get_thumbnail(call.runtime.blobs, file, pixels)
        return Response(data, headers=headers, media_type=content_type)
    return await _original(call, call.runtime, file, etag, headers)


async def _original(
    request: Request, runtime: Runtime, file: File, etag: str, headers: dict[str, str]
) -> Response:
    total = file.size_bytes
    try:
        part = wanted_range(request.headers, etag, total)
    except UnsatisfiableRangeError:
        return problem(
            request.scope,
            416,
            "range_not_satisfiable",
            "The range lies outside the file.",
            headers={"Content-Range": f"bytes */{total}"},
        )
    start, end = part or (0, total)
    headers["Content-Length"] = str(end - start)
    headers["Accept-Ranges"] = "bytes"
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
    pieces = await files.open_file(runtime.blobs, file, start, end)
    return StreamingResponse(
        pieces, 206 if part else 200, headers=headers, media_type=file.content_type
    )


def _headers(file: File, etag: str) -> dict[str, str]:
    """Return headers that let an accepted file be shown as an image and act as nothing else."""
    plain = file.filename.encode("ascii", "replace").decode().replace("?", "_")
    return {
        "ETag": etag,
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": f"inline; filename=\"{plain}\"; filename*=UTF-8''"
        f"{quote(file.filename, safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }


def _check_link(
    runtime: Runtime, file_id: str, size: int | None, expires: str | None, signature: str
) -> None:
    secret = runtime.links.secret
    if expires is None or not signatures.check(
        secret, file_id, size, int(expires), signature, time.time()
    ):
        raise ForbiddenError("This link is not valid any more.", code="link_invalid")
