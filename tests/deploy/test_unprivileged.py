"""The program as the image runs it: nobody in particular, and one folder that it may write."""

import io
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.api.credentials import AUDIENCE, ISSUER, SECRET, make_token
from tests.cli.programs import LIFE_SECONDS, PROGRAM, SECONDS, line_of
from tests.house.source import ROOT
from tests.processes import free_port

from .dockerfile import instructions

UID = 10001
SPOOLED_BYTES = 1024 * 1024
NOBODY = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
# Where the Python of the tests lies in a folder that is closed to others, such as root's own:
# reading past rights, not writing.
READING = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may enter, with a `data` that is the program's own."""
    with tempfile.TemporaryDirectory(prefix="unprivileged-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "data").mkdir(mode=0o700)
        (folder / "secrets").mkdir(mode=0o750)
        (folder / "secrets" / "jwt_secret").write_text(f"{SECRET}\n", "utf-8")
        (folder / "secrets" / "jwt_secret").chmod(0o440)
        if os.geteuid() == 0:
            os.chown(folder / "data", UID, UID)
            os.chown(folder / "secrets", 0, UID)
            os.chown(folder / "secrets" / "jwt_secret", 0, UID)
        yield folder


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """What the image sets, in this folder and on a free port."""
    built = [found for found in instructions(ROOT / "Dockerfile") if found.name == "ENV"][-1]
    return {
        **{name: value.replace("/data", str(folder / "data")) for name, value in
           built.variables.items()},
        "PATH": os.environ["PATH"],
        "PORT": str(free_port()),
        "SECRETS_DIR": str(folder / "secrets"),
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
    }  # fmt: skip


@pytest.fixture(scope="module")
def nobody() -> list[str]:
    """The words before a command that is to run as the image's user."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root with setpriv can become the image's user")
    for words in (NOBODY, [*NOBODY, *READING]):
        # Another Python may step in for one that cannot be reached.
        command = [*words, sys.executable, "-c", "import sys; print(sys.version)"]
        found = subprocess.run(command, check=False, capture_output=True, text=True)
        if found.stdout.strip() == sys.version.strip():
            return words
    pytest.skip("the Python of the tests is closed to the image's user")


@pytest.fixture
def server(
    folder: Path, environment: dict[str, str], nobody: list[str]
) -> Iterator[subprocess.Popen[str]]:
    """The image's command, as its user."""
    with (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [*nobody, PROGRAM, "serve"], cwd=folder, env=environment, text=True, stderr=err,
            stdout=subprocess.PIPE,
        )  # fmt: skip
    watchdog = threading.Timer(LIFE_SECONDS, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        watchdog.cancel()
        assert process.stdout is not None
        process.stdout.close()


def photo() -> bytes:
    """Return a picture too large to be kept in memory while it is received."""
    out = io.BytesIO()
    Image.frombytes("RGB", (700, 700), secrets.token_bytes(3 * 700 * 700)).save(out, "PNG")
    assert out.tell() > SPOOLED_BYTES
    return out.getvalue()


def owned(folder: Path) -> set[str]:
    """Return what the program's user has in a folder."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.stat(follow_symlinks=False).st_uid == UID}


def test_it_serves_as_nobody_writes_its_data_alone_and_ends_in_order(
    folder: Path, environment: dict[str, str], server: subprocess.Popen[str]
) -> None:
    before = owned(Path(tempfile.gettempdir()))
    assert "is ready" in line_of(server)
    # An address that nobody listens on who listens on 127.0.0.1 alone.
    url = f"http://127.0.0.2:{environment['PORT']}"
    headers = {"Authorization": f"Bearer {make_token('ada')}"}
    with httpx2.Client(base_url=url, headers=headers, timeout=SECONDS) as client:
        health = client.get("/healthz").json()
        assert (health["status"], health["open_mode"]) == ("ok", False)
        assert client.get("/readyz").json()["status"] == "ready"
        answer = client.post(
            "/ask", data={"prompt": "What is this?"}, files={"file": ("a.png", photo())}
        )
        assert answer.json()["message"]["status"] == "completed"
    server.send_signal(signal.SIGTERM)
    assert server.wait(SECONDS) == 0
    assert owned(folder) == {"data"}
    assert owned(Path(tempfile.gettempdir())) <= before
    assert {"assistant.db", "files", "link_secret"} <= owned(folder / "data")


def test_without_keys_and_tokens_the_image_refuses_to_listen_and_says_what_to_do(
    folder: Path, environment: dict[str, str], nobody: list[str]
) -> None:
    shutil.rmtree(folder / "secrets")
    del environment["SECRETS_DIR"]
    ended = subprocess.run(
        [*nobody, PROGRAM, "serve"], cwd=folder, env=environment, text=True,
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "keys create" in ended.stderr
