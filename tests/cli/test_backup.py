"""`backup`: what it makes is a folder to start a server on, whatever else goes on meanwhile."""

import asyncio
import sqlite3
from pathlib import Path

import httpx2
import pytest

from gpt_assistant_api.blobs import open_blobs, original_key
from gpt_assistant_api.services import backups
from tests.model_server import ModelServerSimulation

from .installation import (
    Installation,
    everything,
    fast_model,
    make_installation,
    make_picture,
    rows,
)
from .programs import run, serving

USERS = 4


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation that no test changes."""
    return make_installation(tmp_path_factory.mktemp("lived-in"))


class Load:
    """Users who ask about a new picture again and again; what was acknowledged is noted down."""

    def __init__(self, url: str) -> None:
        self.messages: list[int] = []
        self.files: list[str] = []
        self._url = url
        self._stop = asyncio.Event()
        self._grown = asyncio.Event()

    async def run(self, user_id: str) -> None:
        """Ask until told to stop."""
        async with httpx2.AsyncClient(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                response = await client.post(
                    "/ask",
                    data={"user_id": user_id, "prompt": "What is this?"},
                    files={"file": ("a.png", make_picture(len(self.files)), "image/png")},
                    headers={"Prefer": "respond-async"},
                )
                assert response.status_code == 202, response.text
                message = response.json()["user_message"]
                self.messages.append(message["message_id"])
                self.files.append(message["files"][0]["file_id"])
                self._grown.set()

    async def grow(self, count: int) -> None:
        """Wait for so many more messages."""
        wanted = len(self.messages) + count
        while len(self.messages) < wanted:
            self._grown.clear()
            await asyncio.wait_for(self._grown.wait(), 30)

    def stop(self) -> None:
        """Have every user ask no more."""
        self._stop.set()


async def test_what_was_acknowledged_before_a_backup_under_load_is_in_it_with_its_bytes(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    with serving(tmp_path, **fast_model(upstream)) as server:
        load = Load(server.url)
        users = [asyncio.create_task(load.run(f"user-{number}")) for number in range(USERS)]
        for number in range(3):
            await load.grow(20)
            messages, files = set(load.messages), set(load.files)
            ended = await asyncio.to_thread(run, tmp_path, "backup", f"backups/{number}")
            assert (ended.status, ended.err) == (0, "")
            folder = tmp_path / "backups" / str(number)
            connection = sqlite3.connect(folder / "assistant.db")
            [whole] = connection.execute("PRAGMA integrity_check").fetchone()
            kept = {row[0] for row in connection.execute("SELECT message_id FROM messages")}
            named = {row[0] for row in connection.execute("SELECT file_id FROM files")}
            connection.close()
            assert whole == "ok"
            assert messages <= kept
            assert files <= named
            stored = {path.name for path in (folder / "files").rglob("*") if path.is_file()}
            assert stored == named
        load.stop()
        await asyncio.gather(*users)
    left = sorted(path.name for path in (tmp_path / "backups").iterdir())
    assert left == ["0", "1", "2"]


def test_a_server_on_the_restored_folder_shows_everything_and_old_links_open(
    lived_in: Installation, tmp_path: Path
) -> None:
    made = run(tmp_path, "backup", "kept", DATA_DIR=str(lived_in.data))
    assert (made.status, made.err) == (0, "")
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        "assistant.db",
        "files",
        "link_secret",
    }
    assert (tmp_path / "kept").stat().st_mode & 0o077 == 0
    with serving(tmp_path, DATA_DIR=str(lived_in.data)) as server:
        before = everything(server.url, lived_in.key)
        server.stop()
    (tmp_path / "kept").rename(tmp_path / "data")
    with serving(tmp_path) as server:
        assert everything(server.url, lived_in.key) == before
    secrets = [folder / "link_secret" for folder in (tmp_path / "data", lived_in.data)]
    assert secrets[0].read_bytes() == secrets[1].read_bytes()


def test_a_file_whose_bytes_are_lost_is_named_and_the_rest_is_kept(
    lived_in: Installation, tmp_path: Path
) -> None:
    run(tmp_path, "backup", "data", DATA_DIR=str(lived_in.data))
    connection = sqlite3.connect(tmp_path / "data" / "assistant.db")
    [[lost], [damaged], *rest] = connection.execute("SELECT file_id FROM files").fetchall()
    connection.close()
    files = tmp_path / "data" / "files"
    (files / original_key(lost)).unlink()
    (files / original_key(damaged)).write_bytes(b"not what it was")
    ended = run(tmp_path, "backup", "kept")
    assert ended.status == 1
    assert f"Error: {lost} is missing in FILES_URL" in ended.err
    assert f"Error: {damaged} is damaged in FILES_URL" in ended.err
    assert f"and {len(rest)} files are in" in ended.out
    assert (tmp_path / "kept" / "files" / original_key(damaged)).exists()


def test_a_database_that_is_damaged_makes_no_backup(lived_in: Installation, tmp_path: Path) -> None:
    run(tmp_path, "backup", "data", DATA_DIR=str(lived_in.data))
    path = tmp_path / "data" / "assistant.db"
    content = bytearray(path.read_bytes())
    content[4096 * 20 : 4096 * 21] = b"\x7f" * 4096
    path.write_bytes(content)
    ended = run(tmp_path, "backup", "kept")
    assert ended.status != 0
    assert "damaged" in ended.err
    assert [found.name for found in tmp_path.iterdir()] == ["data"]


def test_what_cannot_be_backed_up_is_one_clear_line(tmp_path: Path, new_sqlite_url: str) -> None:
    nothing = run(tmp_path, "backup", "kept")
    taken = run(tmp_path, "backup", str(tmp_path), DATABASE_URL=new_sqlite_url)
    foreign = run(tmp_path, "backup", "kept", DATABASE_URL="postgresql://db.internal/app")
    for ended, said in (
        (nothing, "There is no database in DATABASE_URL yet."),
        (taken, "exists already"),
        (foreign, "pg_dump"),
    ):
        assert (ended.status, ended.out) == (2, "")
        assert said in ended.err
        assert ended.err.count("\n") == 1
    assert not (tmp_path / "kept").exists()


async def test_a_file_that_is_deleted_while_the_backup_is_made_is_told_apart_from_a_lost_one(
    lived_in: Installation, tmp_path: Path
) -> None:
    own = lived_in.copied(tmp_path)
    deleted: list[str] = []

    def delete_one(name: str, done: int, total: int | None) -> None:
        if name == "database" and done == total:
            deleted.append(delete_a_file(own))

    blobs, target = open_blobs(own.files_url), open_blobs((tmp_path / "files").as_uri())
    result = await backups.back_up(own.database_url, blobs, tmp_path, target, delete_one)
    assert (result.deleted_since, result.wrong) == (deleted, [])
    assert result.files == len(rows(own.database)["files"])


def delete_a_file(installation: Installation) -> str:
    """Delete a file as the server does: its record, then its bytes."""
    connection = sqlite3.connect(installation.database)
    with connection:
        [file_id] = connection.execute("SELECT MIN(file_id) FROM files").fetchone()
        connection.execute("DELETE FROM files WHERE file_id = ?", [file_id])
    connection.close()
    (installation.data / "files" / original_key(file_id)).unlink()
    return str(file_id)
