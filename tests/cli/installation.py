"""An installation that has been lived in, to be moved or backed up."""

import io
import random
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from gpt_assistant_api.db.copying import TABLES
from tests.model_server import ModelServerSimulation

from .programs import Server, run, serving


@dataclass(frozen=True)
class Installation:
    """A folder in which nothing runs any more, with rows in every table, and a key to it."""

    folder: Path
    key: str

    @property
    def data(self) -> Path:
        """What DATA_DIR names."""
        return self.folder / "data"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "assistant.db"

    @property
    def database_url(self) -> str:
        """What DATABASE_URL would be."""
        return f"sqlite:///{self.database}"

    @property
    def files_url(self) -> str:
        """What FILES_URL would be."""
        return (self.data / "files").as_uri()

    def copied(self, folder: Path) -> "Installation":
        """Return a copy that a test may spoil."""
        return Installation(Path(shutil.copytree(self.folder, folder / "copy")), self.key)


def make_installation(folder: Path) -> Installation:
    """Have a server lived in, and stop it."""
    key = run(folder, "keys", "create", "app").out.strip()
    with ModelServerSimulation() as upstream, serving(folder, **fast_model(upstream)) as server:
        live_in(server, key)
        server.stop()
    return Installation(folder, key)


def fast_model(upstream: ModelServerSimulation) -> dict[str, str]:
    """Return the settings for a model that does not pause between words."""
    return {"OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "MODEL_API": "responses"}


def make_picture(seed: int) -> bytes:
    """Return a PNG that no other seed has."""
    out = io.BytesIO()
    Image.frombytes("RGB", (24, 16), random.Random(seed).randbytes(24 * 16 * 3)).save(out, "PNG")
    return out.getvalue()


def ask(url: str, prompt: str, picture: bytes | None = None, key: str = "", **more: str) -> Any:
    """Ask as ada and return the whole answer."""
    response = httpx2.post(
        f"{url}/ask",
        data={"user_id": "ada", "prompt": prompt, **more},
        files={"file": ("a.png", picture, "image/png")} if picture else None,
        headers=_bearing(key),
        timeout=30,
    )
    assert response.status_code == 200, response.text
    return response.json()


def _bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def live_in(server: Server, key: str) -> None:
    """Ask, show pictures, branch, quote, and delete the newest thread."""
    for number in range(3):
        asked = ask(server.url, f"Question {number}: why ünïcode 🐝?", make_picture(number), key)
        thread = {"thread_id": asked["thread_id"]}
        ask(server.url, "And?", key=key, **thread, reply_to=str(asked["message"]["message_id"]))
        edited = httpx2.post(
            f"{server.url}/regenerate",
            json={"user_id": "ada", "new_prompt": "Why though?", **thread},
            headers={"Idempotency-Key": f"key-{number}-0123456789", **_bearing(key)},
        )
        assert edited.status_code == 200, edited.text
    last = ask(server.url, "Soon forgotten.", key=key)
    path = f"{server.url}/threads/ada/{last['thread_id']}"
    assert httpx2.delete(path, headers=_bearing(key)).status_code == 204


def everything(url: str, key: str) -> list[Any]:
    """Read all of ada's threads, every branch and every file's bytes, through the API."""
    found, headers = [], _bearing(key)
    threads = httpx2.get(f"{url}/threads/ada", headers=headers).json()["threads"]
    for thread in sorted(threads, key=lambda thread: thread["thread_id"]):
        path = f"{url}/threads/ada/{thread['thread_id']}"
        page = httpx2.get(path, params={"branch": "all"}, headers=headers).json()
        for message in page["messages"]:
            for file in message["files"]:
                link = httpx2.URL(url).join(file.pop("url"))
                del file["thumbnail_url"]  # it is signed for another moment
                file["bytes"] = httpx2.get(link).read()
        found.append(page)
    return found


def rows(path: Path) -> dict[str, list[Any]]:
    """Return every row of a SQLite file as it is stored."""
    connection = sqlite3.connect(path)
    try:
        return {
            table.name: sorted(
                connection.execute(f"SELECT {table.column_list} FROM {table.name}"), key=repr
            )
            for table in TABLES
        }
    finally:
        connection.close()
