"""Search, while the database can only be read."""

from gpt_assistant_api.db import Database
from gpt_assistant_api.db.search_index import index_messages
from gpt_assistant_api.domain.asks import Ask, RunLimits
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.services.asks import ask
from gpt_assistant_api.services.messages import search_messages
from tests.services.unsteady import Unsteady


async def test_what_is_indexed_is_found_though_nothing_more_can_be(
    database: Database, engine: Engine, anybody: Actor
) -> None:
    first = await ask(database, engine, RunLimits(), anybody, Ask("ada", "A pear"))
    await index_messages(database)
    await ask(database, engine, RunLimits(), anybody, Ask("ada", "A plum"))
    unsteady = Unsteady(database)
    unsteady.refused = 1
    found, _ = await search_messages(unsteady, anybody, "ada", "pear", before=None, limit=9)
    assert [one.message.message_id for one in found] == [first.question.message_id]
    unsteady.refused = 0
    found, _ = await search_messages(unsteady, anybody, "ada", "plum", before=None, limit=9)
    assert len(found) == 1
