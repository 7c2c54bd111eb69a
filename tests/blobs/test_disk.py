import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpt_assistant_api.blobs import durable, file_id_of, open_blobs, original_key
from gpt_assistant_api.domain.errors import ConfigurationError, UnavailableError
from gpt_assistant_api.domain.ids import new_id


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_bytes_and_names_are_flushed_before_a_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[int] = set()
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    key = original_key(new_id("file"))
    await open_blobs(tmp_path.as_uri()).put(key, b"bytes")
    path = tmp_path / key
    assert {place.stat().st_ino for place in (path, path.parent, tmp_path)} <= flushed


async def test_half_a_put_is_no_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    blobs, key = open_blobs(tmp_path.as_uri()), original_key(new_id("file"))
    await blobs.put(key, b"the first")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError) as refusal:
        await blobs.put(key, b"the second")
    assert str(tmp_path) not in refusal.value.message
    assert [path.read_bytes() for path in files_below(tmp_path)] == [b"the first"]


async def test_what_a_crash_leaves_half_written_is_an_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object, **__: object) -> None:
        raise Crash

    key = original_key(new_id("file"))
    (tmp_path / key).parent.mkdir()
    monkeypatch.setattr(os, "fsync", crash)
    monkeypatch.setattr(Path, "unlink", crash)
    with pytest.raises(Crash):
        durable.write(tmp_path / key, io.BytesIO(b"half"))
    later = datetime.now(UTC) + timedelta(minutes=5)
    left = [key async for key in open_blobs(tmp_path.as_uri()).list_older("", later)]
    assert len(left) == 1
    assert file_id_of(left[0]) not in {None, file_id_of(key)}


async def test_a_folder_that_was_lost_is_trouble_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    blobs = open_blobs(folder.as_uri())
    folder.rmdir()
    folder.write_text("not a folder")
    with pytest.raises(UnavailableError):
        await blobs.check()
    folder.unlink()
    await blobs.check()


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20ü" / "files"
    open_blobs(folder.as_uri())
    assert folder.is_dir()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "files",
        "file://",
        "file:///",
        "file://host/files",
        "ftp://host/files",
        "https://host/files",
        "s3://",
        "s3://bucket?endpiont=secret",
        "s3://bucket?secret",
        "file:///dev/null/files",
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="FILES_URL") as refusal:
        open_blobs(url)
    assert "secret" not in str(refusal.value)


async def test_what_the_system_does_not_hold_in_memory_is_read_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_the_disk(*_: object) -> int:
        raise BlockingIOError

    blobs, key, data = open_blobs(tmp_path.as_uri()), original_key(new_id("file")), bytes(600_000)
    await blobs.put(key, data)
    monkeypatch.setattr(os, "preadv", from_the_disk)
    assert b"".join([piece async for piece in blobs.stream(key, 5, 600_000)]) == data[5:]
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    assert b"".join([piece async for piece in blobs.stream(key, 5, 600_000)]) == data[5:]


async def test_what_is_deleted_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    blobs, key, data = open_blobs(tmp_path.as_uri()), original_key(new_id("file")), bytes(600_000)
    await blobs.put(key, data)
    pieces = blobs.stream(key, 0, len(data))
    first = await anext(pieces)
    await blobs.delete([key])
    assert first + b"".join([piece async for piece in pieces]) == data
