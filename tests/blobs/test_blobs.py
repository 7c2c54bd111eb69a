import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from gpt_assistant_api.blobs import (
    PIECE_BYTES,
    Blobs,
    file_id_of,
    keys_of,
    open_blobs,
    original_key,
    thumbnail_key,
)
from gpt_assistant_api.domain.errors import ConfigurationError, NotFoundError, UnavailableError
from gpt_assistant_api.domain.ids import new_id

LATER = timedelta(minutes=5)


def make_key() -> str:
    return original_key(new_id("file"))


async def collect(items: AsyncIterator[str]) -> list[str]:
    return sorted([item async for item in items])


async def test_what_was_put_can_be_got(blobs: Blobs) -> None:
    key, data = make_key(), random.randbytes(300_000)
    await blobs.put(key, data)
    assert await blobs.get(key) == data
    assert await blobs.exists(key)


async def test_a_later_put_takes_the_place_of_the_earlier(blobs: Blobs) -> None:
    key = make_key()
    await blobs.put(key, b"a long first one")
    await blobs.put(key, b"")
    assert await blobs.get(key) == b""


async def test_what_was_never_put_is_not_found(blobs: Blobs) -> None:
    key = make_key()
    assert not await blobs.exists(key)
    for reading in (blobs.get(key), anext(aiter(blobs.stream(key, 0, 10)))):
        with pytest.raises(NotFoundError) as refusal:
            await reading
        assert refusal.value.code == "file_not_found"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (0, 0),
        (5, 5),
        (0, PIECE_BYTES),
        (7, 2 * PIECE_BYTES + 9),
        (2 * PIECE_BYTES, 600_000),
    ],
)
async def test_any_part_is_streamed_in_bounded_pieces(blobs: Blobs, start: int, end: int) -> None:
    key, data = make_key(), random.randbytes(600_000)
    await blobs.put(key, data)
    pieces = [piece async for piece in blobs.stream(key, start, end)]
    assert b"".join(pieces) == data[start:end]
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)


async def test_a_part_beyond_the_end_is_not_passed_off_as_whole(blobs: Blobs) -> None:
    key = make_key()
    await blobs.put(key, b"short")
    with pytest.raises(UnavailableError):
        [piece async for piece in blobs.stream(key, 0, 6)]


async def test_deleting_takes_what_is_there_and_minds_nothing_else(blobs: Blobs) -> None:
    file_id, kept = new_id("file"), make_key()
    for key in (original_key(file_id), thumbnail_key(file_id, 256), kept):
        await blobs.put(key, b"bytes")
    await blobs.delete([])
    await blobs.delete([make_key(), *keys_of(file_id), make_key()])
    await blobs.delete(keys_of(file_id))
    assert await collect(blobs.list_older("", datetime.now(UTC) + LATER)) == [kept]


async def test_only_what_is_old_enough_is_listed(blobs: Blobs) -> None:
    keys = sorted(make_key() for _ in range(250))
    for key in keys:
        await blobs.put(key, b"bytes")
    now = datetime.now(UTC)
    assert await collect(blobs.list_older("", now + LATER)) == keys
    assert await collect(blobs.list_older("", now - LATER)) == []


async def test_a_folder_is_listed_alone(blobs: Blobs) -> None:
    keys = [f"{folder}/file_{'0' * 30}{folder}" for folder in ("0a", "0b")]
    for key in keys:
        await blobs.put(key, b"bytes")
    assert await collect(blobs.list_older("0a", datetime.now(UTC) + LATER)) == keys[:1]


async def test_a_check_leaves_nothing_behind(blobs: Blobs) -> None:
    await blobs.check()
    assert await collect(blobs.list_older("", datetime.now(UTC) + LATER)) == []


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../up", "ab/../../up", "ab/file_1", "ab\\file", "AB/x", "ab/x\0", "ab/\n"],
)
async def test_no_key_leads_out_of_the_store(blobs: Blobs, key: str) -> None:
    for attempt in (blobs.put(key, b""), blobs.get(key), blobs.exists(key), blobs.delete([key])):
        with pytest.raises(ValueError, match="not a key"):
            await attempt


def test_keys_are_spread_and_lead_back_to_their_file() -> None:
    file_ids = [new_id("file") for _ in range(2_000)]
    assert len({original_key(file_id)[:3] for file_id in file_ids}) > 200
    for file_id in file_ids[:10]:
        assert {file_id_of(key) for key in keys_of(file_id)} == {file_id}
    assert [file_id_of(key) for key in ("README", "ab/notes.txt", "lost+found/1")] == [None] * 3


def test_only_ids_of_files_have_keys() -> None:
    for value in ("", "file_1", new_id("run"), "../" + new_id("file")):
        with pytest.raises(ValueError, match="not the id"):
            original_key(value)


async def test_a_bucket_that_does_not_exist_is_trouble_and_not_absence(s3_url: str) -> None:
    elsewhere = open_blobs(s3_url.replace("s3://files", "s3://others"))
    for attempt in (elsewhere.put(make_key(), b"bytes"), elsewhere.check()):
        with pytest.raises(UnavailableError) as refusal:
            await attempt
        assert refusal.value.code == "files_unavailable"
    with pytest.raises(ConfigurationError, match="no such bucket"):
        await elsewhere.examine()
