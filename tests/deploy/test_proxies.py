"""The proxies' configurations, each in front of the real server by the real proxy."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from gpt_assistant_api.api.rest.call import READ_AWAY_BYTES
from tests.api.credentials import AUDIENCE, ISSUER, SECRET, make_token
from tests.api.helpers import png, read_events, text_of
from tests.house.source import ROOT
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import free_port
from tests.server import make_settings, running

FOLDER = ROOT / "deploy" / "proxies"
LONG = " ".join(f"word{number}" for number in range(50))
START_SECONDS = 10


@dataclass(frozen=True)
class Proxy:
    """A proxy's configuration, and how it is started with another one."""

    config: str
    command: Callable[[str, Path], list[str]]
    changed: Callable[[str, int, str, Path], str]


def _nginx(text: str, port: int, upstream: str, folder: Path) -> str:
    paths = "".join(
        f"{name}_temp_path {folder / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = text.replace("127.0.0.1:8000", upstream).replace("listen 8080;", f"listen {port};")
    return f"user root;\npid {folder / 'pid'};\n" + text.replace("http {\n", f"http {{\n{paths}", 1)


PROXIES = {
    "caddy": Proxy(
        "Caddyfile",
        lambda program, file: [program, "run", "--config", str(file), "--adapter", "caddyfile"],
        lambda text, port, upstream, _: re.sub(
            r"\{\$UPSTREAM:[^}]*\}", upstream, re.sub(r"\{\$SITE_ADDRESS:[^}]*\}", f":{port}", text)
        ),
    ),
    "nginx": Proxy(
        "nginx.conf",
        lambda program, file: [program, "-e", "stderr", "-c", str(file), "-g", "daemon off;"],
        _nginx,
    ),
    "haproxy": Proxy(
        "haproxy.cfg",
        lambda program, file: [program, "-db", "-f", str(file)],
        lambda text, port, upstream, _: text.replace("127.0.0.1:8000", upstream).replace(
            "bind :8080", f"bind :{port}"
        ),
    ),
}


@dataclass(frozen=True)
class Front:
    """A proxy that answers, and the file of its log."""

    url: str
    log: Path


@pytest.fixture(params=PROXIES)
def front(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: ModelServerSimulation
) -> Iterator[Front]:
    """Each proxy in front of a server that wants credentials."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"no {request.param} on this machine")
    settings = make_settings(
        tmp_path / "data", openai_base_url=upstream.url, model="sim", model_api="responses",
        jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE,
    )  # fmt: skip
    proxy, port = PROXIES[request.param], free_port()
    with running(settings) as server:
        address = server.url.removeprefix("http://")
        file = tmp_path / proxy.config
        text = (FOLDER / proxy.config).read_text("utf-8")
        file.write_text(proxy.changed(text, port, address, tmp_path), "utf-8")
        log = tmp_path / "proxy.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                proxy.command(program, file), stdout=output, stderr=output,
                env={**os.environ, "HOME": str(tmp_path)},
            )  # fmt: skip
        try:
            _wait(process, port, log)
            yield Front(f"http://127.0.0.1:{port}", log)
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return


async def test_streams_pass_as_they_are_written_and_a_link_stays_out_of_the_log(
    front: Front, upstream: ModelServerSimulation
) -> None:
    held = Answer(text=LONG, pieces=10, pause_after=3)
    upstream.script(held)
    headers = {"Authorization": f"Bearer {make_token('ada')}"}
    async with httpx2.AsyncClient(base_url=front.url, headers=headers, timeout=30) as client:
        body = {"prompt": "Go on.", "stream": True}
        async with client.stream("POST", "/ask", json=body) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            # The model server has said no more than this so far, and goes on when we have it.
            events = await read_events(response, until=3)
        assert events[-1].name == "message.delta"
        held.release()
        run_id = events[0].data["run"]["run_id"]
        async with client.stream("GET", f"/runs/{run_id}/events") as response:
            assert text_of(await read_events(response)) == LONG

        stored = await client.post("/upload-file", files={"file": ("a.png", png())})
        link = stored.json()["url"]
        assert (await client.get(link, headers={"Authorization": ""})).status_code == 200
        for path in ("/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/healthz")).json()["open_mode"] is False
    assert "signature=" in link
    assert "signature" not in front.log.read_text()


async def test_the_server_says_itself_that_a_body_is_too_large(front: Front) -> None:
    headers = {"Authorization": f"Bearer {make_token('ada')}"}
    async with httpx2.AsyncClient(base_url=front.url, headers=headers, timeout=30) as client:
        too_large = {"file": ("a.png", bytes(20 * 1024 * 1024 + READ_AWAY_BYTES // 2))}
        refused = await client.post("/upload-file", files=too_large)
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"
