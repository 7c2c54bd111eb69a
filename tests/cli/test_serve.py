"""`serve` and `worker`: what they say, what they refuse, and how they stop."""

import shlex
import socket
import subprocess
from pathlib import Path

import httpx2
import pytest

from .programs import Server, run, serving


def test_a_server_says_where_it_is_and_answers_there(open_server: Server) -> None:
    health = httpx2.get(f"{open_server.url}/healthz").json()
    assert health["status"] == "ok"
    assert health["open_mode"] is True


def test_the_curl_command_that_a_server_shows_works(open_server: Server) -> None:
    done = subprocess.run(
        [*shlex.split(open_server.curl), "-sS"], capture_output=True, text=True, check=True
    )
    assert '"status":"completed"' in done.stdout


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(tmp_path, "serve", PORT=str(port))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: HOST and PORT: cannot listen on port {port} there")
    assert ended.err.count("\n") == 1


def test_a_second_server_on_the_same_sqlite_file_is_refused(open_server: Server) -> None:
    ended = run(open_server.folder, "serve", "--port", "0")
    assert ended.status == 2
    assert "Another server is running on the SQLite file" in ended.err


def test_an_address_beyond_this_machine_is_refused_in_open_mode(tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("Error: HOST reaches beyond this machine")
    assert "gpt-assistant-api keys create" in ended.err
    assert "JWT_SECRET" in ended.err


@pytest.mark.parametrize(
    ("arguments", "settings", "named"),
    [
        (["serve"], {"PORT": "many"}, "PORT"),
        (["serve"], {"LINK_SECRET": "short"}, "LINK_SECRET"),
        (["serve"], {"DATABASE_URL": "mysql://somewhere"}, "DATABASE_URL"),
        (["serve", "--workers", "2"], {}, "REDIS_URL"),
        (["serve", "--workers", "2"], {"REDIS_URL": "redis://127.0.0.1:1"}, "DATABASE_URL"),
        (["worker"], {}, "REDIS_URL"),
        (["worker"], {"REDIS_URL": "redis://127.0.0.1:1"}, "DATABASE_URL"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], named: str
) -> None:
    ended = run(tmp_path, *arguments, **settings)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {named}")
    assert ended.err.count("\n") == 1


def test_a_setting_that_fails_only_when_the_parts_are_opened_is_one_line_too(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ended = run(tmp_path, "serve", "--port", "0", OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("Error: MODEL: name a model")
    assert ended.err.count("\n") == 1


def test_a_secret_of_links_that_a_power_cut_has_emptied_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link_secret").write_bytes(b"")
    ended = run(tmp_path, "serve", "--port", "0")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("Error: LINK_SECRET: the file link_secret in DATA_DIR is damaged.")
    assert ended.err.count("\n") == 1


def test_sigterm_ends_a_server_in_order_while_an_answer_streams(tmp_path: Path) -> None:
    question = {"user_id": "ada", "prompt": "Tell me. " * 500, "stream": True}
    with (
        serving(tmp_path) as server,
        httpx2.stream("POST", f"{server.url}/ask", json=question) as response,
    ):
        lines = response.iter_lines()
        assert any(line == "event: message.delta" for line in lines)
        assert server.stop() == 0
        assert "event: run.completed" not in list(lines)
    assert "Traceback" not in (tmp_path / "err").read_text()
