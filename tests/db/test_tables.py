import pytest

from gpt_assistant_api.db import Conflict, Database, Tx
from gpt_assistant_api.db.search_index import index_messages
from tests.db.builders import NOON, count, insert_message, insert_thread, insert_user


async def test_deleting_a_thread_takes_its_tree_and_its_runs(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
        for thread_id in ("kept", "deleted"):
            await insert_thread(tx, thread_id, "ada")
            parent = None
            for number in range(1200):  # deeper than SQLite's limit on nested triggers
                parent = await insert_message(
                    tx, thread_id, "ada", parent_id=parent, reply_to=parent, content=f"m {number}"
                )
            await insert_relations(tx, thread_id, "ada", parent)
    async with database.write() as tx:
        assert await tx.execute("DELETE FROM threads WHERE thread_id = 'deleted'") == 1
    counts = {
        table: await count(database, table)
        for table in ("threads", "messages", "runs", "message_files", "files", "idempotency_keys")
    }
    assert counts == {
        "threads": 1,
        "messages": 1200,
        "runs": 1,
        "message_files": 1,
        "files": 2,
        "idempotency_keys": 1,
    }
    async with database.write() as tx:
        await tx.execute("DELETE FROM users WHERE user_id = 'ada'")
    assert {await count(database, table) for table in counts} == {0}


async def insert_relations(tx: Tx, thread_id: str, user_id: str, message_id: int | None) -> None:
    values = {"id": thread_id, "user_id": user_id, "message_id": message_id, "at": NOON}
    await tx.execute(
        "INSERT INTO runs (run_id, thread_id, user_id, message_id, reply_to, status, created_at)"
        " VALUES (:id, :id, :user_id, :message_id, :message_id, 'queued', :at)",
        **values,
    )
    await tx.execute(
        "INSERT INTO idempotency_keys (user_id, key, fingerprint, run_id, created_at)"
        " VALUES (:user_id, :id, 'f', :id, :at)",
        **values,
    )
    await tx.execute(
        "INSERT INTO files (file_id, user_id, filename, content_type, size_bytes, width, height,"
        " sha256, created_at) VALUES (:id, :user_id, 'f', 'image/png', 1, 1, 1, 's', :at)",
        **values,
    )
    await tx.execute(
        "INSERT INTO message_files (message_id, position, file_id) VALUES (:message_id, 0, :id)",
        **values,
    )


async def test_a_message_that_others_build_on_cannot_be_deleted_alone(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")
        parent = await insert_message(tx, "t", "ada")
        await insert_message(tx, "t", "ada", parent_id=parent)
    with pytest.raises(Conflict):
        async with database.write() as tx:
            await tx.execute("DELETE FROM messages WHERE message_id = :id", id=parent)


async def test_ids_of_messages_ascend_and_are_never_used_again(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")
        first = await insert_message(tx, "t", "ada")
        await tx.execute("DELETE FROM messages")
    async with database.write() as tx:
        assert await insert_message(tx, "t", "ada") > first


async def found(database: Database, word: str, user_id: str = "ada") -> list[str]:
    await index_messages(database)
    if database.dialect == "sqlite":
        where = "message_id IN (SELECT rowid FROM messages_fts WHERE messages_fts MATCH :query)"
        query = f"owner:u{user_id.encode().hex()} AND content:{word}"
    else:
        where = "user_id = :user_id AND search @@ to_tsquery('simple', :query)"
        query = word
    async with database.read() as tx:
        rows = await tx.fetch_all(
            f"SELECT content FROM messages WHERE {where} ORDER BY message_id",
            query=query,
            user_id=user_id,
        )
    return [row["content"] for row in rows]


async def test_search_follows_what_happens_to_messages(database: Database) -> None:
    async with database.write() as tx:
        for user_id in ("ada", "bob"):
            await insert_user(tx, user_id)
            await insert_thread(tx, user_id, user_id)
            await insert_message(tx, user_id, user_id, content=f"apple of {user_id}")
        answer = await insert_message(
            tx, "ada", "ada", role="assistant", status="in_progress", content="pe"
        )
    assert await found(database, "apple") == ["apple of ada"]
    assert await found(database, "apple", "bob") == ["apple of bob"]

    async with database.write() as tx:
        await set_answer(tx, answer, "in_progress", "pear and")
    assert await found(database, "pear") == []

    async with database.write() as tx:
        await set_answer(tx, answer, "completed", "pear and plum")
    assert await found(database, "plum") == ["pear and plum"]

    async with database.write() as tx:
        await set_answer(tx, answer, "incomplete", "quince")
    assert await found(database, "plum") == []
    assert await found(database, "quince") == ["quince"]

    async with database.write() as tx:
        await set_answer(tx, answer, "in_progress", "")
    assert await found(database, "quince") == []

    async with database.write() as tx:
        await tx.execute("DELETE FROM users WHERE user_id = 'ada'")
    assert await found(database, "apple") == []
    assert await found(database, "apple", "bob") == ["apple of bob"]
    await check_index(database)


async def test_what_changes_before_it_is_indexed_leaves_nothing_behind(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")
        changed = await insert_message(tx, "t", "ada", content="pear")
        gone = await insert_message(tx, "t", "ada", content="plum")
    await check_index(database)
    async with database.write() as tx:
        await set_answer(tx, changed, "completed", "quince")
        await tx.execute("DELETE FROM messages WHERE message_id = :id", id=gone)
    await check_index(database)
    assert await found(database, "quince") == ["quince"]
    assert await found(database, "pear") == await found(database, "plum") == []
    await check_index(database)


async def test_many_and_long_messages_are_indexed_in_portions(database: Database) -> None:
    async with database.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")
        for number in range(450):
            await insert_message(tx, "t", "ada", content=f"pear {number}")
        for number in range(3):
            await insert_message(tx, "t", "ada", content=f"plum {number} {'and ' * 100_000}")
    assert len(await found(database, "pear")) == 450
    assert len(await found(database, "plum")) == 3
    await check_index(database)


async def test_what_is_noted_of_no_message_is_forgotten(database: Database) -> None:
    if database.dialect == "sqlite":
        async with database.write() as tx:
            await tx.execute("INSERT INTO unindexed_messages (message_id) VALUES (9)")
        await index_messages(database)
        assert await count(database, "unindexed_messages") == 0


async def check_index(database: Database) -> None:
    """Have SQLite compare the index with the text of the messages that it is to have."""
    if database.dialect == "sqlite":
        async with database.write() as tx:
            await tx.execute(
                "INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)"
            )


async def set_answer(tx: Tx, message_id: int, status: str, content: str) -> None:
    await tx.execute(
        "UPDATE messages SET status = :status, content = :content WHERE message_id = :id",
        id=message_id,
        status=status,
        content=content,
    )


async def test_a_huge_answer_of_many_words_can_be_stored(database: Database) -> None:
    text = " ".join(f"字{number}" for number in range(250_000))
    async with database.write() as tx:
        await insert_user(tx, "ada")
        await insert_thread(tx, "t", "ada")
        await insert_message(tx, "t", "ada", content=text)
    assert len((await found(database, "字77"))[0]) == len(text)
