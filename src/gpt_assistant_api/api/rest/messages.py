"""Search."""

from typing import Annotated

from fastapi import Query, Response

from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.context import (
    Cursor,
    Limit,
    UserId,
    responses,
    router,
)
from gpt_assistant_api.api.rest.cursors import message_cursor, parse_message_cursor
from gpt_assistant_api.api.rest.schemas import MessageOut, SearchPage, SearchResult
from gpt_assistant_api.api.rest.writing import respond
from gpt_assistant_api.services import messages

routes = router("Threads")


@routes.get(
    "/search/{user_id}",
    operation_id="search_messages",
    summary="Search messages",
    response_model=SearchPage,
    responses=responses(),
)
async def search_messages(
    call: Call,
    user_id: UserId,
    q: Annotated[
        str, Query(description="Words; each may be the beginning of one.", max_length=1000)
    ],
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Return the user's messages that have all words of the query, newest first.

    The query is words and nothing else: no operators, no quotes.
    """
    found, following = await messages.search_messages(
        call.runtime.database,
        call.actor,
        user_id,
        q,
        before=parse_message_cursor(cursor),
        limit=limit,
    )
    results = [
        SearchResult(
            message=MessageOut.of(item.message, call.links),
            thread_title=item.thread_title,
            snippet=item.snippet,
        )
        for item in found
    ]
    return respond(SearchPage(results=results, next_cursor=message_cursor(following)))
