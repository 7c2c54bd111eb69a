"""Files that are uploaded, taken back and shared between threads."""

import asyncio
import io
import tempfile
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from gpt_assistant_api.blobs import Blobs, original_key
from gpt_assistant_api.db import Database, Tx
from gpt_assistant_api.domain.asks import Ask, Asked, RunLimits
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import TooLargeError, UnavailableError
from gpt_assistant_api.domain.files import File
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.services.asks import ask
from gpt_assistant_api.services.files import (
    Upload,
    get_file,
    get_thumbnail,
    upload_file,
    withdraw_files,
)
from gpt_assistant_api.services.threads import delete_thread
from tests.api.helpers import png
from tests.db.builders import count


def upload() -> Upload:
    return Upload("a.png", io.BytesIO(png()))


async def asked(
    database: Database, engine: Engine, actor: Actor, *files: File, thread_id: str | None = None
) -> Asked:
    request = Ask("ada", "What?", thread_id, tuple(file.file_id for file in files))
    return await ask(database, engine, RunLimits(), actor, request)


async def test_a_file_that_a_message_has_is_not_taken_back(
    database: Database, blobs: Blobs, engine: Engine, anybody: Actor
) -> None:
    used, unused = [await upload_file(database, blobs, anybody, "ada", upload()) for _ in range(2)]
    await asked(database, engine, anybody, used)
    await withdraw_files(database, blobs, [used, unused])
    assert await get_file(database, used.file_id, anybody) == used
    assert await blobs.exists(original_key(used.file_id))
    assert not await blobs.exists(original_key(unused.file_id))
    assert await count(database, "files") == 1


async def test_deleting_a_thread_keeps_the_files_that_another_one_uses(
    database: Database, blobs: Blobs, engine: Engine, anybody: Actor
) -> None:
    shared, own = [await upload_file(database, blobs, anybody, "ada", upload()) for _ in range(2)]
    first = await asked(database, engine, anybody, shared, own)
    await asked(database, engine, anybody, shared)
    await delete_thread(database, blobs, engine, anybody, "ada", first.thread.thread_id)
    assert await count(database, "files") == 1
    assert await blobs.exists(original_key(shared.file_id))
    assert not await blobs.exists(original_key(own.file_id))


class Full:
    """A store that can be read and takes nothing more."""

    def __init__(self, blobs: Blobs) -> None:
        self.get = blobs.get

    async def put(self, key: str, data: bytes) -> None:
        raise UnavailableError(f"No room for {key}, {len(data)} bytes.", code="files_unavailable")


async def test_a_thumbnail_that_cannot_be_kept_is_shown_all_the_same(
    database: Database, blobs: Blobs, anybody: Actor
) -> None:
    file = await upload_file(database, blobs, anybody, "ada", upload())
    full: Any = Full(blobs)
    assert await get_thumbnail(full, file, 64) == await get_thumbnail(blobs, file, 64)


class Forgetful:
    """A database that loses the answer to its first commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.read, self.check, self.close = database.read, database.check, database.close
        self.pools = database.pools
        self._forgets = True

    def write(self) -> AbstractAsyncContextManager[Tx]:
        return self._write()

    @asynccontextmanager
    async def _write(self) -> Any:
        async with self._database.write() as tx:
            yield tx
        if self._forgets:
            self._forgets = False
            raise UnavailableError("Away.", code="database_unavailable")


async def test_an_upload_of_unknown_outcome_leaves_no_record_without_bytes(
    database: Database, blobs: Blobs, anybody: Actor
) -> None:
    with pytest.raises(UnavailableError):
        await upload_file(Forgetful(database), blobs, anybody, "ada", upload())
    assert await count(database, "files") == 0


async def test_an_upload_is_refused_while_nothing_can_be_put_aside(
    database: Database, blobs: Blobs, anybody: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(UnavailableError) as refusal:
        await upload_file(database, blobs, anybody, "ada", upload())
    assert refusal.value.code == "files_unavailable"
    assert await count(database, "files") == 0


async def test_uploads_at_the_same_moment_never_store_more_than_a_user_may(
    database: Database, blobs: Blobs, anybody: Actor
) -> None:
    one = (await upload_file(database, blobs, anybody, "bob", upload())).size_bytes
    outcomes = await asyncio.gather(
        *(
            upload_file(database, blobs, anybody, "ada", upload(), storage_bytes=3 * one + one // 2)
            for _ in range(12)
        ),
        return_exceptions=True,
    )
    stored = [outcome for outcome in outcomes if isinstance(outcome, File)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooLargeError)]
    assert (len(stored), len(refused)) == (3, 9)
    assert {refusal.code for refusal in refused} == {"storage_exceeded"}
    assert await count(database, "files") == 4
    assert len([key async for key in blobs.list_older("", utc_now() + timedelta(1))]) == 4


async def test_claims_at_the_same_moment_never_give_a_user_more_than_they_may_have(
    database: Database, blobs: Blobs, engine: Engine
) -> None:
    key = Actor("key", "key_1")
    unclaimed = [await upload_file(database, blobs, key, None, upload()) for _ in range(8)]
    limits = RunLimits(storage_bytes=2 * unclaimed[0].size_bytes)

    async def claim(*files: File) -> Asked:
        request = Ask("ada", "What?", file_ids=tuple(file.file_id for file in files))
        return await ask(database, engine, limits, key, request)

    outcomes = await asyncio.gather(*map(claim, unclaimed), return_exceptions=True)
    claimed = [
        file for file, one in zip(unclaimed, outcomes, strict=True) if isinstance(one, Asked)
    ]
    assert len(claimed) == 2
    assert sum(isinstance(one, TooLargeError) for one in outcomes) == 6
    await claim(*claimed)
    # What is there already may be shown again, though the limit is lower now.
    limits = RunLimits(storage_bytes=1)
    await claim(*claimed)
    left = [file for file in unclaimed if file not in claimed]
    with pytest.raises(TooLargeError):
        await claim(claimed[0], left[0])
    assert (await get_file(database, left[0].file_id, key)).user_id is None
