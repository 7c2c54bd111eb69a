"""What is locked is looked up among the known weaknesses, by the tool and the command of every day.

Only the service that knows the weaknesses is simulated: https://google.github.io/osv.dev/api/.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from packaging.requirements import Requirement
from tests.house.source import ROOT

LOCK = (ROOT / "requirements.txt").read_text("utf-8")


class Weaknesses:
    """A service that knows one weakness at most, and what it was asked for."""

    def __init__(self, weak: str = "", *, status: int = 200) -> None:
        self.weak = weak
        self.status = status
        self.url = ""
        self.asked: dict[str, str] = {}

    def answer(self, query: dict[str, Any]) -> dict[str, Any]:
        """Return the entries about a version of a package."""
        name = query["package"]["name"]
        self.asked[name] = query["version"]
        return {"vulns": [_entry(name)]} if name == self.weak else {}


def _entry(name: str) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": "9999.1"}]
    affected = {
        "package": {"name": name, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    return {"id": "PYSEC-2026-9999", "modified": "2026-11-01T00:00:00Z", "affected": [affected]}


@contextmanager
def serving(weaknesses: Weaknesses) -> Iterator[Weaknesses]:
    """Answer while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(weaknesses.answer(query)).encode()
            self.send_response(weaknesses.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        weaknesses.url = f"http://127.0.0.1:{server.server_port}/v1/query"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield weaknesses
        finally:
            server.shutdown()
            thread.join()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    """Run the command that the schedule runs, and ask this service."""
    return subprocess.run(
        ["make", "audit"], cwd=ROOT, env={**os.environ, "PIP_AUDIT_OSV_URL": url},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_every_package_is_looked_up_and_a_known_weakness_fails_the_audit() -> None:
    pins = [Requirement(line.rstrip(" \\")) for line in LOCK.splitlines() if "==" in line]
    here = {pin.name: str(pin.specifier) for pin in pins if not pin.marker or pin.marker.evaluate()}
    with serving(Weaknesses()) as none:
        done = audit(none.url)
    assert done.returncode == 0, done.stderr
    assert {name: f"=={version}" for name, version in none.asked.items()} == here

    with serving(Weaknesses("pillow")) as one:
        done = audit(one.url)
    assert done.returncode != 0
    assert "PYSEC-2026-9999" in done.stdout


def test_an_audit_that_gets_no_answer_fails() -> None:
    with serving(Weaknesses(status=500)) as broken:
        assert audit(broken.url).returncode != 0
    assert broken.asked != {}
