"""Branches, versions, pages, history and search, on both databases."""

import pytest

from gpt_assistant_api.db import Database, messages
from gpt_assistant_api.db.search_index import index_some
from gpt_assistant_api.domain.messages import Message
from tests.db.trees import add, chain, make_thread


def ids(found: list[Message]) -> list[int]:
    return [message.message_id for message in found]


@pytest.fixture(autouse=True)
async def thread(database: Database) -> None:
    """Every story plays in ada's thread."""
    await make_thread(database)


async def test_a_branch_is_walked_from_its_newest_message_page_by_page(database: Database) -> None:
    async with database.write() as tx:
        made = await chain(tx, 7)
        other = await add(tx, made[2], "assistant")
        newest_id: int | None = made[-1].message_id
        walked: list[int] = []
        while newest_id is not None:
            page = await messages.fetch_branch(tx, "thread_1", newest_id=newest_id, limit=3)
            walked += ids(page)
            newest_id = page[-1].parent_id
        assert walked == ids(made)[::-1]
        assert ids(
            await messages.fetch_branch(tx, "thread_1", newest_id=other.message_id, limit=2)
        ) == [other.message_id, made[2].message_id]
        assert not await messages.fetch_branch(tx, "thread_2", newest_id=other.message_id, limit=2)


async def test_versions_are_the_siblings_of_the_same_role(database: Database) -> None:
    async with database.write() as tx:
        question = await add(tx, None)
        edited = await add(tx, None)
        first = await add(tx, question, "assistant")
        second = await add(tx, question, "assistant")
        only = await add(tx, second)
        related = await messages.with_relations(tx, [question, first, second, only])
    assert [message.versions for message in related] == [
        (question.message_id, edited.message_id),
        (first.message_id, second.message_id),
        (first.message_id, second.message_id),
        (),
    ]


async def test_the_end_of_a_branch_follows_the_newest_child(database: Database) -> None:
    async with database.write() as tx:
        made = await chain(tx, 3)
        older = await add(tx, made[-1], "assistant")
        newer = await add(tx, made[-1], "assistant")
        last = await add(tx, newer)
        await add(tx, older)

        async def end(message_id: int, thread_id: str = "thread_1") -> int | None:
            return await messages.fetch_branch_end(tx, thread_id, message_id)

        assert await end(made[0].message_id) == last.message_id
        assert await end(last.message_id) == last.message_id
        assert await end(older.message_id) == last.message_id + 1
        assert await end(last.message_id, "thread_2") is None
        assert await end(10**9) is None


async def test_history_ends_at_the_cut_and_always_has_the_question(database: Database) -> None:
    async with database.write() as tx:
        made = await chain(tx, 5)  # with 10, 20 ... 50 tokens up to each
        question = made[-1].message_id
        for cut, kept in ((0, 5), (9, 5), (10, 4), (39, 2), (40, 1), (50, 1), (10**9, 1)):
            history = await messages.fetch_history(tx, question, cut_before=cut)
            assert ids(history) == ids(made)[-kept:]


async def test_the_last_question_is_that_of_the_branch(database: Database) -> None:
    async with database.write() as tx:
        made = await chain(tx, 4)
        await add(tx, made[1])
        for head in (made[2], made[3]):
            found = await messages.fetch_last_question(tx, "thread_1", head_id=head.message_id)
            assert found == made[2]


async def test_pages_of_everything_meet_without_a_gap_while_others_write(
    database: Database,
) -> None:
    async with database.write() as tx:
        made = await chain(tx, 5)
        newest = await messages.fetch_all_messages(tx, "thread_1", before=None, limit=2)
        await chain(tx, 2)
        rest = await messages.fetch_all_messages(
            tx, "thread_1", before=newest[-1].message_id, limit=9
        )
        assert ids([*newest, *rest]) == ids(made)[::-1]
        after = await messages.fetch_messages_after(
            tx, "thread_1", after=made[2].message_id, limit=2
        )
    assert ids(after) == ids(made)[3:]


async def test_an_end_counts_its_tokens_in_itself_and_in_all_that_stands_below_it(
    database: Database,
) -> None:
    async with database.write() as tx:
        question = await add(tx, None)
        answer = await add(tx, question, "assistant", status="in_progress", path_tokens=10)
        below = await chain(tx, 3, answer)
        beside = await add(tx, question, "assistant")
        await messages.end_answer(
            tx, answer.message_id, status="completed", content="So.", tokens=7
        )
        found = await messages.fetch_messages(
            tx, [m.message_id for m in (question, answer, *below, beside)]
        )
    assert [found[message_id].path_tokens for message_id in sorted(found)] == [
        10, 17, 27, 37, 47, 20,
    ]  # fmt: skip
    assert found[answer.message_id].content == "So."


async def test_search_finds_finished_messages_of_its_user_newest_first(database: Database) -> None:
    await make_thread(database, "thread_2", user_id="bob")
    async with database.write() as tx:
        first = await add(tx, None, content="Blue skies, grey seas")
        await add(tx, None, content="Blue", user_id="bob", thread_id="thread_2")
        growing = await add(tx, first, "assistant", content="blue sky", status="in_progress")
        second = await add(tx, first, content="skies of blue")

        async def search(*terms: str, before: int | None = None, limit: int = 9) -> list[int]:
            if tx.dialect == "sqlite":
                await index_some(tx)
            return ids(
                await messages.search_messages(tx, "ada", terms=terms, before=before, limit=limit)
            )

        assert await search("blue") == [second.message_id, first.message_id]
        assert await search("blue", "skies", limit=1) == [second.message_id]
        assert await search("blue", before=second.message_id) == [first.message_id]
        assert await search("blue", "green") == []
        await messages.end_answer(
            tx, growing.message_id, status="incomplete", content="green and blue", tokens=1
        )
        assert await search("blue", "green") == [growing.message_id]
