"""Queries on `messages`: one row a message, and a thread is the tree that `parent_id` makes.

A page costs as much as the page: a branch is walked by primary key from its newest message, and
everything else follows an index from a cursor.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from gpt_assistant_api.db import files
from gpt_assistant_api.db.database import Tx
from gpt_assistant_api.domain.files import File
from gpt_assistant_api.domain.messages import Message, MessageStatus, Role
from gpt_assistant_api.domain.search import fts5_query, owner_token, tsquery

_NAMES = (
    "message_id", "thread_id", "user_id", "role", "status", "content", "image_id", "reply_to",
    "parent_id", "run_id", "path_tokens", "message_time",
)  # fmt: skip
_COLUMNS = ", ".join(_NAMES)
_M_COLUMNS = ", ".join(f"m.{name}" for name in _NAMES)
_AFTER_ALL = 2**63 - 1


async def insert_message(
    tx: Tx,
    *,
    thread_id: str,
    user_id: str,
    role: Role,
    status: MessageStatus,
    content: str,
    path_tokens: int,
    message_time: datetime,
    image_id: str | None = None,
    reply_to: int | None = None,
    parent_id: int | None = None,
    run_id: str | None = None,
) -> Message:
    """Append a message and return it with the id that it got."""
    row = await tx.fetch_one(
        "INSERT INTO messages (thread_id, user_id, role, status, content, image_id, reply_to,"
        " parent_id, run_id, path_tokens, message_time) VALUES (:thread_id, :user_id, :role,"
        " :status, :content, :image_id, :reply_to, :parent_id, :run_id, :path_tokens,"
        f" :message_time) RETURNING {_COLUMNS}",
        thread_id=thread_id,
        user_id=user_id,
        role=role,
        status=status,
        content=content,
        image_id=image_id,
        reply_to=reply_to,
        parent_id=parent_id,
        run_id=run_id,
        path_tokens=path_tokens,
        message_time=message_time,
    )
    assert row is not None, "RETURNING gives the inserted row"
    return Message(**row)


async def fetch_message(tx: Tx, message_id: int, *, thread_id: str) -> Message | None:
    """Return the message if it is in this thread."""
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM messages"
        " WHERE message_id = :message_id AND thread_id = :thread_id",
        message_id=message_id,
        thread_id=thread_id,
    )
    return Message(**row) if row else None


async def fetch_messages(tx: Tx, message_ids: Sequence[int]) -> dict[int, Message]:
    """Return those of these messages that exist, by id."""
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM messages WHERE message_id IN :message_ids",
        message_ids=list(message_ids),
    )
    return {row["message_id"]: Message(**row) for row in rows}


async def fetch_branch(tx: Tx, thread_id: str, *, newest_id: int, limit: int) -> list[Message]:
    """Return up to `limit` messages of the branch that ends in `newest_id`, newest first."""
    rows = await tx.fetch_all(
        "WITH RECURSIVE path(message_id, parent_id, depth) AS ("
        " SELECT message_id, parent_id, 1 FROM messages"
        "  WHERE message_id = :newest_id AND thread_id = :thread_id"
        " UNION ALL SELECT p.message_id, p.parent_id, path.depth + 1"
        "  FROM path JOIN messages p ON p.message_id = path.parent_id WHERE path.depth < :limit)"
        f" SELECT {_M_COLUMNS} FROM path JOIN messages m ON m.message_id = path.message_id"
        " ORDER BY path.depth",
        thread_id=thread_id,
        newest_id=newest_id,
        limit=limit,
    )
    return [Message(**row) for row in rows]


async def fetch_history(tx: Tx, message_id: int, *, cut_before: int) -> list[Message]:
    """Return the path to a message, oldest first, without what lies before the cut.

    A message is left out when the path up to it, itself included, has at most `cut_before` tokens.
    """
    rows = await tx.fetch_all(
        "WITH RECURSIVE path(message_id, parent_id, path_tokens, depth) AS ("
        " SELECT message_id, parent_id, path_tokens, 1 FROM messages"
        "  WHERE message_id = :message_id"
        " UNION ALL SELECT p.message_id, p.parent_id, p.path_tokens, path.depth + 1"
        "  FROM path JOIN messages p ON p.message_id = path.parent_id"
        "  WHERE path.path_tokens > :cut_before)"
        f" SELECT {_M_COLUMNS} FROM path JOIN messages m ON m.message_id = path.message_id"
        " WHERE path.path_tokens > :cut_before OR path.depth = 1 ORDER BY path.depth DESC",
        message_id=message_id,
        cut_before=cut_before,
    )
    return [Message(**row) for row in rows]


async def fetch_last_question(tx: Tx, thread_id: str, *, head_id: int) -> Message | None:
    """Return the newest user message of the branch that ends in `head_id`."""
    row = await tx.fetch_one(
        "WITH RECURSIVE path(message_id, parent_id, role) AS ("
        " SELECT message_id, parent_id, role FROM messages"
        "  WHERE message_id = :head_id AND thread_id = :thread_id"
        " UNION ALL SELECT p.message_id, p.parent_id, p.role FROM path"
        "  JOIN messages p ON p.message_id = path.parent_id WHERE path.role <> 'user')"
        f" SELECT {_M_COLUMNS} FROM path JOIN messages m ON m.message_id = path.message_id"
        " WHERE path.role = 'user'",
        thread_id=thread_id,
        head_id=head_id,
    )
    return Message(**row) if row else None


async def fetch_branch_end(tx: Tx, thread_id: str, message_id: int) -> int | None:
    """Return the end of the branch that goes through a message: its newest child's, and so on."""
    row = await tx.fetch_one(
        "WITH RECURSIVE path(message_id) AS ("
        " SELECT message_id FROM messages"
        "  WHERE message_id = :message_id AND thread_id = :thread_id"
        " UNION ALL SELECT (SELECT MAX(c.message_id) FROM messages c"
        "   WHERE c.thread_id = :thread_id AND c.parent_id = path.message_id)"
        "  FROM path WHERE path.message_id IS NOT NULL)"
        " SELECT MAX(message_id) AS message_id FROM path",  # a child is newer than its parent
        thread_id=thread_id,
        message_id=message_id,
    )
    return row["message_id"] if row else None


async def fetch_all_messages(
    tx: Tx, thread_id: str, *, before: int | None, limit: int, with_files: bool = False
) -> list[Message]:
    """Return up to `limit` messages of every branch, newest first, with ids below `before`."""
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM messages WHERE {_between(tx)}"
        f" {'AND image_id IS NOT NULL' if with_files else ''}"
        " ORDER BY thread_id DESC, message_id DESC LIMIT :limit",
        thread_id=thread_id,
        after=0,
        before=_AFTER_ALL if before is None else before,
        limit=limit,
    )
    return [Message(**row) for row in rows]


async def fetch_messages_after(tx: Tx, thread_id: str, *, after: int, limit: int) -> list[Message]:
    """Return up to `limit` messages of every branch, oldest first, with ids above `after`."""
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM messages WHERE {_between(tx)}"
        " ORDER BY thread_id, message_id LIMIT :limit",
        thread_id=thread_id,
        after=after,
        before=_AFTER_ALL,
        limit=limit,
    )
    return [Message(**row) for row in rows]


def _between(tx: Tx) -> str:
    """Return what bounds messages of a thread by an index, for an order by (thread_id, message_id).

    PostgreSQL has to be told of a range of that index. From `thread_id = ...` it concludes that the
    order of the primary key will do, and walks all messages until enough are of the thread, which
    it takes to be spread evenly; those of an old long one come last. SQLite would use the first
    half of such a range alone.
    """
    if tx.dialect == "sqlite":
        return "thread_id = :thread_id AND message_id > :after AND message_id < :before"
    return (
        "(thread_id, message_id) > (:thread_id, :after)"
        " AND (thread_id, message_id) < (:thread_id, :before)"
    )


async def with_relations(tx: Tx, messages: Sequence[Message]) -> list[Message]:
    """Return the messages with their files and their versions filled in."""
    if not messages:
        return []
    files_of = await _fetch_files(tx, messages)
    versions_of = await _fetch_versions(tx, messages)
    return [
        _related(m, files_of.get(m.message_id, ()), versions_of.get(_place(m), ()))
        for m in messages
    ]


async def with_files(tx: Tx, messages: Sequence[Message]) -> list[Message]:
    """Return the messages with their files filled in."""
    files_of = await _fetch_files(tx, messages)
    return [_related(m, files_of.get(m.message_id, ()), m.versions) for m in messages]


def _related(message: Message, files: tuple[File, ...], versions: tuple[int, ...]) -> Message:
    # Most have neither, and a copy costs more than all else that is done for a message.
    if files == message.files and versions == message.versions:
        return message
    return replace(message, files=files, versions=versions)


async def _fetch_files(tx: Tx, messages: Sequence[Message]) -> dict[int, tuple[File, ...]]:
    carrying = [message.message_id for message in messages if message.image_id]
    return await files.fetch_files_of(tx, carrying) if carrying else {}


_Place = tuple[str, int | None, Role]


def _place(message: Message) -> _Place:
    return message.thread_id, message.parent_id, message.role


async def _fetch_versions(tx: Tx, messages: Sequence[Message]) -> dict[_Place, tuple[int, ...]]:
    """Return the versions of those of these messages that have another one, by their place."""
    parents = sorted({m.parent_id for m in messages if m.parent_id is not None})
    rooted = sorted({m.thread_id for m in messages if m.parent_id is None})
    rows = []
    if parents:
        rows += await tx.fetch_all(
            "SELECT thread_id, parent_id, role, message_id FROM messages m"
            " WHERE parent_id IN :parents AND EXISTS (SELECT 1 FROM messages o"
            "  WHERE o.parent_id = m.parent_id AND o.role = m.role"
            "  AND o.message_id <> m.message_id)"
            " ORDER BY message_id",
            parents=parents,
        )
    if rooted:
        rows += await tx.fetch_all(
            "SELECT thread_id, parent_id, role, message_id FROM messages"
            " WHERE thread_id IN :threads AND parent_id IS NULL ORDER BY message_id",
            threads=rooted,
        )
    found: dict[_Place, list[int]] = {}
    for row in rows:
        key = (row["thread_id"], row["parent_id"], row["role"])
        found.setdefault(key, []).append(row["message_id"])
    return {place: tuple(ids) for place, ids in found.items() if len(ids) > 1}


async def save_answer(tx: Tx, message_id: int, *, content: str) -> None:
    """Write the text so far of an answer whose attempt this transaction holds."""
    await tx.execute(
        "UPDATE messages SET content = :content WHERE message_id = :message_id",
        message_id=message_id,
        content=content,
    )


async def end_answer(
    tx: Tx,
    message_id: int,
    *,
    status: MessageStatus,
    content: str,
    tokens: int,
    is_leaf: bool = False,
) -> Message | None:
    """Write the final text and status of an answer, which has counted for no tokens until now.

    What was asked while it grew stands below it already and gets its tokens as well; `is_leaf`
    says that there is nothing. Returns the answer, or None when it is gone.
    """
    row = await tx.fetch_one(
        "UPDATE messages SET status = :status, content = :content,"
        f" path_tokens = path_tokens + :tokens WHERE message_id = :message_id RETURNING {_COLUMNS}",
        message_id=message_id,
        status=status,
        content=content,
        tokens=tokens,
    )
    if not is_leaf:
        await tx.execute(
            "UPDATE messages SET path_tokens = path_tokens + :tokens WHERE message_id IN ("
            " WITH RECURSIVE below(message_id) AS ("
            "  SELECT message_id FROM messages WHERE parent_id = :message_id"
            "  UNION ALL SELECT m.message_id FROM below"
            "   JOIN messages m ON m.parent_id = below.message_id)"
            " SELECT message_id FROM below)",
            message_id=message_id,
            tokens=tokens,
        )
    return Message(**row) if row else None


async def stop_answer(tx: Tx, message_id: int) -> None:
    """Leave an answer incomplete, with the text that is stored."""
    await tx.execute(
        "UPDATE messages SET status = 'incomplete'"
        " WHERE message_id = :message_id AND status = 'in_progress'",
        message_id=message_id,
    )


async def reset_answer(tx: Tx, message_id: int) -> None:
    """Drop the text of an attempt that is void."""
    await tx.execute(
        "UPDATE messages SET content = '' WHERE message_id = :message_id AND content <> ''",
        message_id=message_id,
    )


async def search_messages(
    tx: Tx, user_id: str, *, terms: Sequence[str], before: int | None, limit: int
) -> list[Message]:
    """Return up to `limit` of a user's finished messages that have all terms, newest first.

    Of those that are not indexed yet it knows nothing.
    """
    if tx.dialect == "sqlite":
        source = "messages_fts f JOIN messages m ON m.message_id = f.rowid"
        matches, position = "messages_fts MATCH :query", "f.rowid"
        query = fts5_query(terms, owner_token(user_id))
    else:
        source = "messages m"
        matches, position = "m.search @@ to_tsquery('simple', :query)", "m.message_id"
        query = tsquery(terms)
    rows = await tx.fetch_all(
        f"SELECT {_M_COLUMNS} FROM {source} WHERE {matches} AND m.user_id = :user_id"
        f" {f'AND {position} < :before' if before is not None else ''}"
        f" ORDER BY {position} DESC LIMIT :limit",
        query=query,
        user_id=user_id,
        limit=limit,
        **({"before": before} if before is not None else {}),
    )
    return [Message(**row) for row in rows]
