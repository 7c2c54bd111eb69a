"""Wherever it is started the program answers, in every script, or says in a sentence why not."""

import asyncio
import subprocess
from pathlib import Path

import httpx2
import pytest
from tests.processes import PROGRAM, START_SECONDS, free_port

TEXT = "\u05e9\u05dc\u05d5\u05dd \U0001f30d \u4f60\u597d e\u0301"
ODD_FOLDER = "a folder (\u00fc)/#1?&%20"
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "nothing set": {},
    "C": {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    },
    "far east": {"TZ": "Pacific/Kiritimati", "LANG": "tr_TR.UTF-8"},
    "nowhere": {"HOME": "/nowhere", "TMPDIR": "/nowhere", "XDG_CACHE_HOME": "/nowhere"},
    "by proxy": {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
async def test_it_answers_wherever_it_is_started(tmp_path: Path, environment: str) -> None:
    folder = tmp_path / ("plain" if environment == "C" else ODD_FOLDER)
    port = free_port()
    process = _start(folder, port, ENVIRONMENTS[environment])
    try:
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False
        ) as client:
            async with asyncio.timeout(START_SECONDS):
                while not await _answers(client):
                    assert process.poll() is None
                    await asyncio.sleep(0.05)
            assert (await client.get("/healthz")).json()["open_mode"] is True
            asked = await client.post("/ask", json={"user_id": "ada", "prompt": TEXT})
            assert asked.json()["user_message"]["content"] == TEXT
            assert TEXT in asked.json()["message"]["content"]
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=35)
    assert b"Traceback" not in said
    assert said.count(b"open mode: ") == 1
    assert process.returncode == 0
    assert [path for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []


def test_a_folder_whose_name_the_system_cannot_say_is_one_clear_line(tmp_path: Path) -> None:
    process = _start(tmp_path / ODD_FOLDER, free_port(), ENVIRONMENTS["C"])
    said, _ = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 2
    assert said.startswith(b"Error: FILES_URL cannot be opened")
    assert said.count(b"\n") == 1


def _start(folder: Path, port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    return subprocess.Popen(
        [PROGRAM, "serve", "--port", str(port)], cwd=folder, env=environment, umask=0o077,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx2.TransportError:
        return False
