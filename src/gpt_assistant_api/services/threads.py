"""Threads: list, read, rename, choose the branch, delete."""

from dataclasses import dataclass, replace
from datetime import datetime

from gpt_assistant_api import db
from gpt_assistant_api.blobs import Blobs, keys_of
from gpt_assistant_api.db import files, messages, runs, threads, usage
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import NotFoundError
from gpt_assistant_api.domain.messages import Branch, Message
from gpt_assistant_api.domain.threads import Thread, checked_title
from gpt_assistant_api.domain.usage import Used
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages oldest first; `older_than` is where the page before this one begins, or None."""

    thread: Thread
    messages: list[Message]
    older_than: int | None


async def list_threads(
    database: db.Database,
    actor: Actor,
    user_id: str,
    *,
    before: tuple[datetime, str] | None,
    limit: int,
) -> tuple[list[Thread], tuple[datetime, str] | None]:
    """Return a page of a user's threads, newest activity first, and where the next one begins."""
    user_id = actor.act_for(user_id)
    async with database.read() as tx:
        found = await threads.fetch_threads(tx, user_id, before=before, limit=limit + 1)
    page = found[:limit]
    more = len(found) > limit
    return page, (page[-1].updated_at, page[-1].thread_id) if more else None


async def list_messages(
    database: db.Database,
    actor: Actor,
    user_id: str,
    thread_id: str,
    *,
    branch: Branch,
    before: int | None,
    limit: int,
) -> MessagePage:
    """Return a thread and a page of its messages: the newest, or the one before a cursor.

    On the active branch a cursor is the id of the page's newest message, in all branches the id
    that the page's messages are below of. Raises NotFoundError.
    """
    user_id = actor.act_for(user_id)
    async with database.read() as tx:
        thread = await _get(tx, thread_id, user_id)
        if branch == "all":
            found = await messages.fetch_all_messages(tx, thread_id, before=before, limit=limit + 1)
        elif (newest_id := before if before is not None else thread.head_id) is not None:
            found = await messages.fetch_branch(tx, thread_id, newest_id=newest_id, limit=limit + 1)
        else:
            found = []
        page = await messages.with_relations(tx, found[:limit])
    if len(found) <= limit:
        older_than = None
    else:
        older_than = found[limit].message_id if branch == "active" else page[-1].message_id
    return MessagePage(thread, page[::-1], older_than)


async def list_messages_with_files(
    database: db.Database,
    actor: Actor,
    user_id: str,
    thread_id: str,
    *,
    before: int | None,
    limit: int,
) -> MessagePage:
    """Return a page of the thread's messages that carry files, of every branch."""
    user_id = actor.act_for(user_id)
    async with database.read() as tx:
        thread = await _get(tx, thread_id, user_id)
        found = await messages.fetch_all_messages(
            tx, thread_id, before=before, limit=limit + 1, with_files=True
        )
        page = await messages.with_relations(tx, found[:limit])
    older_than = page[-1].message_id if len(found) > limit else None
    return MessagePage(thread, page[::-1], older_than)


async def get_thread(database: db.Database, actor: Actor, user_id: str, thread_id: str) -> Thread:
    """Return the thread or raise NotFoundError."""
    user_id = actor.act_for(user_id)
    async with database.read() as tx:
        return await _get(tx, thread_id, user_id)


async def update_thread(
    database: db.Database,
    actor: Actor,
    user_id: str,
    thread_id: str,
    *,
    title: str | None,
    head_id: int | None,
) -> Thread:
    """Rename the thread, or make the branch through a message the active one; None leaves as is.

    Raises NotFoundError for a thread or message that is not there.
    """
    user_id = actor.act_for(user_id)
    new_title = checked_title(title) if title is not None else None
    async with database.write() as tx:
        thread = await threads.lock_thread(tx, thread_id, user_id=user_id)
        if thread is None:
            raise _no_thread()
        if new_title is not None:
            thread = replace(thread, title=new_title)
        if head_id is not None:
            end = await messages.fetch_branch_end(tx, thread_id, head_id)
            if end is None:
                raise NotFoundError(
                    "There is no such message in this thread.", code="message_not_found"
                )
            thread = replace(thread, head_id=end)
        thread = replace(thread, updated_at=utc_now())
        await threads.update_thread(
            tx,
            thread_id,
            title=thread.title,
            head_id=thread.head_id,
            active_run_id=thread.active_run_id,
            updated_at=thread.updated_at,
        )
    return thread


async def delete_thread(
    database: db.Database,
    blobs: Blobs,
    engine: Engine,
    actor: Actor,
    user_id: str,
    thread_id: str,
) -> None:
    """Delete the thread with its messages, runs and the files that only it uses.

    A run of it is stopped; nothing of it comes back. What was used stays used. Raises
    NotFoundError.
    """
    user_id = actor.act_for(user_id)
    async with database.write() as tx:
        if await threads.lock_thread(tx, thread_id, user_id=user_id) is None:
            raise _no_thread()
        unfinished = await runs.fetch_unfinished_of_thread(tx, thread_id, user_id=user_id)
        attached = await files.fetch_file_ids_in(tx, thread_id)
        await threads.delete_thread(tx, thread_id, user_id=user_id)
        file_ids = await files.delete_unused(tx, attached)
        if unfinished:
            await usage.add_usage(tx, user_id, utc_now().date(), Used(runs=len(unfinished)))
    for run in unfinished:
        await engine.drop_run(run)
    await blobs.delete(key for file_id in file_ids for key in keys_of(file_id))


async def _get(tx: db.Tx, thread_id: str, user_id: str) -> Thread:
    thread = await threads.fetch_thread(tx, thread_id, user_id=user_id)
    if thread is None:
        raise _no_thread()
    return thread


def _no_thread() -> NotFoundError:
    return NotFoundError("There is no such thread.", code="thread_not_found")
