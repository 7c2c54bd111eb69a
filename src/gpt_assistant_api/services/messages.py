"""Messages: full-text search over what a user and the assistant have said."""

from contextlib import suppress
from dataclasses import dataclass

from gpt_assistant_api import db
from gpt_assistant_api.db import messages, threads
from gpt_assistant_api.db.search_index import index_messages
from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.search import search_terms, snippet
from gpt_assistant_api.domain.users import Actor


@dataclass(frozen=True, slots=True)
class Found:
    """A message that has all words of a query, with plain text around the first of them."""

    message: Message
    thread_title: str
    snippet: str


async def search_messages(
    database: db.Database,
    actor: Actor,
    user_id: str,
    query: str,
    *,
    before: int | None,
    limit: int,
) -> tuple[list[Found], int | None]:
    """Return a page of a user's messages that have all words of the query, newest first.

    The second value is the cursor of the next page, or None. Where the database cannot be written,
    the messages of the last moment may be missing. Raises InvalidError for a query
    without a word.
    """
    user_id = actor.act_for(user_id)
    terms = search_terms(query)
    with suppress(UnavailableError):  # what is indexed is found all the same
        await index_messages(database)
    async with database.read() as tx:
        found = await messages.search_messages(
            tx, user_id, terms=terms, before=before, limit=limit + 1
        )
        page = await messages.with_relations(tx, found[:limit])
        thread_ids = {message.thread_id for message in page}
        titles = await threads.fetch_titles(tx, sorted(thread_ids)) if page else {}
    results = [
        Found(message, titles[message.thread_id], snippet(message.content, terms))
        for message in page
    ]
    return results, page[-1].message_id if len(found) > limit else None
