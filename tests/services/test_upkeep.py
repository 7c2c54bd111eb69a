"""What is done without being asked."""

import io
from datetime import datetime, timedelta
from typing import Any

import pytest

from gpt_assistant_api.blobs import Blobs, original_key, thumbnail_key
from gpt_assistant_api.db import Database, runs
from gpt_assistant_api.domain.asks import Ask, RunLimits
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.ids import new_id
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.services import upkeep
from gpt_assistant_api.services.asks import ask, find_asked
from gpt_assistant_api.services.files import Upload, upload_file
from gpt_assistant_api.services.upkeep import remove_leftovers, resume_runs
from tests.api.helpers import png
from tests.db.builders import count

UPLOAD = Upload("a.png", io.BytesIO(png()))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what lets upkeep believe that so much time has passed."""

    def let_pass(time: timedelta) -> None:
        now: datetime = utc_now() + time
        monkeypatch.setattr(upkeep, "utc_now", lambda: now)

    return let_pass


async def test_bytes_without_a_record_go_after_an_hour_and_those_with_one_stay(
    database: Database, blobs: Blobs, anybody: Actor, later: Any
) -> None:
    file = await upload_file(database, blobs, anybody, "ada", UPLOAD)
    orphans = [original_key(new_id("file")), thumbnail_key(new_id("file"), 256)]
    for key in orphans:
        await blobs.put(key, b"left over")
    await remove_leftovers(database, blobs)
    assert [await blobs.exists(key) for key in orphans] == [True, True]
    later(timedelta(hours=1, seconds=1))
    await remove_leftovers(database, blobs)
    assert [await blobs.exists(key) for key in orphans] == [False, False]
    assert await blobs.exists(original_key(file.file_id))


async def test_an_upload_that_nobody_names_goes_after_a_day_and_one_that_was_named_stays(
    database: Database, blobs: Blobs, engine: Engine, anybody: Actor, later: Any
) -> None:
    named = await upload_file(database, blobs, anybody, None, UPLOAD)
    forgotten = await upload_file(database, blobs, anybody, None, UPLOAD)
    request = Ask("ada", "What?", file_ids=(named.file_id,))
    await ask(database, engine, RunLimits(), anybody, request)
    later(timedelta(days=1, seconds=1))
    await remove_leftovers(database, blobs)
    assert await count(database, "files") == 1
    assert await blobs.exists(original_key(named.file_id))
    assert not await blobs.exists(original_key(forgotten.file_id))


async def test_an_idempotency_key_is_kept_for_two_days(
    database: Database, blobs: Blobs, engine: Engine, anybody: Actor, later: Any
) -> None:
    request = Ask("ada", "Once", idempotency_key="k", fingerprint="f")
    asked = await ask(database, engine, RunLimits(), anybody, request)
    later(timedelta(days=2) - timedelta(minutes=1))
    await remove_leftovers(database, blobs)
    assert await find_asked(database, anybody, request) == asked
    later(timedelta(days=2, minutes=1))
    await remove_leftovers(database, blobs)
    assert await find_asked(database, anybody, request) is None


async def test_every_active_run_gets_a_job_and_one_that_waits_its_turn_gets_none(
    database: Database, engine: Engine, anybody: Actor
) -> None:
    first = await ask(database, engine, RunLimits(), anybody, Ask("ada", "a"))
    more = Ask("ada", "b", first.thread.thread_id, if_busy="enqueue")
    await ask(database, engine, RunLimits(), anybody, more)
    await ask(database, engine, RunLimits(), anybody, Ask("bob", "c"))
    assert await resume_runs(database, engine) == 2
    assert await resume_runs(database, engine, older_than=timedelta(hours=1)) == 0
    async with database.write() as tx:
        await runs.cancel_run(tx, first.run.run_id, utc_now())
        await runs.hand_on_thread(tx, first.run, utc_now())
    assert await resume_runs(database, engine) == 2
