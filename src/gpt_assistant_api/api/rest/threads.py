"""Threads and their messages."""

from collections.abc import AsyncIterable
from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from gpt_assistant_api.api.rest.bodies import Format, ThreadIn, read_body, request_body
from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.context import (
    Cursor,
    Limit,
    ThreadId,
    UserId,
    responses,
    router,
)
from gpt_assistant_api.api.rest.cursors import (
    message_cursor,
    parse_message_cursor,
    parse_thread_cursor,
    thread_cursor,
)
from gpt_assistant_api.api.rest.links import FileLinks
from gpt_assistant_api.api.rest.schemas import (
    MessageOut,
    MessagePage,
    ThreadMessagesPage,
    ThreadOut,
    ThreadPage,
)
from gpt_assistant_api.api.rest.writing import respond
from gpt_assistant_api.domain.messages import Branch, Message
from gpt_assistant_api.markup import render_async
from gpt_assistant_api.services import files, threads

routes = router("Threads")


@routes.get(
    "/threads/{user_id}",
    operation_id="list_threads",
    summary="List threads",
    response_model=ThreadPage,
    responses=responses(),
)
async def list_threads(
    call: Call,
    user_id: UserId,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """List a user's threads, newest activity first. A user nobody has heard of has none."""
    page, following = await threads.list_threads(
        call.runtime.database, call.actor, user_id, before=parse_thread_cursor(cursor), limit=limit
    )
    shown = [ThreadOut.of(thread) for thread in page]
    return respond(ThreadPage(threads=shown, next_cursor=thread_cursor(following)))


@routes.get(
    "/threads/{user_id}/{thread_id}",
    operation_id="get_thread",
    summary="Read a thread",
    response_model=ThreadMessagesPage,
    responses=responses(404),
)
async def get_thread(
    call: Call,
    user_id: UserId,
    thread_id: ThreadId,
    branch: Annotated[
        Branch, Query(description="`active`: the head's branch; `all`: every message.")
    ] = "active",
    format: Annotated[Format, Query(description="`html` adds `content_html`.")] = "markdown",  # noqa: A002
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Return the thread and a page of its messages, oldest first within the page.

    A page without a cursor is the newest one, as a chat shows it.
    """
    page = await threads.list_messages(
        call.runtime.database,
        call.actor,
        user_id,
        thread_id,
        branch=branch,
        before=parse_message_cursor(cursor),
        limit=limit,
    )
    return respond(
        ThreadMessagesPage(
            thread=ThreadOut.of(page.thread),
            messages=await _messages(page.messages, call.links, html=format == "html"),
            next_cursor=message_cursor(page.older_than),
        )
    )


@routes.patch(
    "/threads/{user_id}/{thread_id}",
    operation_id="update_thread",
    summary="Rename a thread or choose its branch",
    responses=responses(400, 404, 413, 415),
    openapi_extra=request_body(ThreadIn),
)
async def update_thread(call: Call, user_id: UserId, thread_id: ThreadId) -> ThreadOut:
    """Give the thread a title, or make the branch through a message the active one.

    The head becomes the newest message of that branch.
    """
    body = (await read_body(call)).of(ThreadIn)
    thread = await threads.update_thread(
        call.runtime.database,
        call.actor,
        user_id,
        thread_id,
        title=body.title,
        head_id=body.head_id,
    )
    return ThreadOut.of(thread)


@routes.delete(
    "/threads/{user_id}/{thread_id}",
    operation_id="delete_thread",
    summary="Delete a thread",
    status_code=204,
    responses=responses(404),
)
async def delete_thread(call: Call, user_id: UserId, thread_id: ThreadId) -> Response:
    """Delete the thread with its messages, runs and the files that only it uses."""
    runtime = call.runtime
    await threads.delete_thread(
        runtime.database, runtime.blobs, runtime.engine, call.actor, user_id, thread_id
    )
    return Response(status_code=204)


@routes.get(
    "/threads/{user_id}/{thread_id}/messages-with-files",
    operation_id="list_messages_with_files",
    summary="List the messages that carry files",
    response_model=MessagePage,
    responses=responses(404),
)
async def list_messages_with_files(
    call: Call,
    user_id: UserId,
    thread_id: ThreadId,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Return a page of the messages that carry files, of every branch, each file with its link."""
    page = await threads.list_messages_with_files(
        call.runtime.database,
        call.actor,
        user_id,
        thread_id,
        before=parse_message_cursor(cursor),
        limit=limit,
    )
    return respond(
        MessagePage(
            messages=await _messages(page.messages, call.links, html=False),
            next_cursor=message_cursor(page.older_than),
        )
    )


@routes.get(
    "/threads/{user_id}/{thread_id}/download-files",
    operation_id="download_files",
    summary="Download all files of a thread",
    response_class=StreamingResponse,
    responses=responses(404, ok={200: {"content": {"application/zip": {}}}}),
)
async def download_files(call: Call, user_id: UserId, thread_id: ThreadId) -> StreamingResponse:
    """Send all files of the thread as one ZIP, which is made while it is sent."""
    pieces = await files.zip_thread_files(
        call.runtime.database, call.runtime.blobs, call.actor, user_id, thread_id
    )
    return zip_response(pieces, f"{thread_id}.zip")


def zip_response(pieces: AsyncIterable[bytes], filename: str) -> StreamingResponse:
    """Return the response that sends a ZIP under a name of ours."""
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


async def _messages(found: list[Message], links: FileLinks, *, html: bool) -> list[MessageOut]:
    return [
        MessageOut.of(message, links, await render_async(message.content) if html else None)
        for message in found
    ]
