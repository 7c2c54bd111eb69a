"""`doctor` and `init-db`: what works, what does not, and what was done about the schema."""

import re
import socket
from pathlib import Path

from tests.model_server import ModelServerSimulation

from .programs import Server, run


def test_an_untouched_machine_is_well_and_stays_untouched_by_the_examination(
    tmp_path: Path,
) -> None:
    ended = run(tmp_path, "doctor", PORT="0")
    assert (ended.status, ended.err) == (0, "")
    assert states(ended.out) == dict.fromkeys(
        [
            *("Settings", "Database", "Files", "Run engine"),
            *("Model server", "Access", "Address"),
        ],
        "ok",
    )
    assert not (tmp_path / "data" / "assistant.db").exists()


def test_a_running_server_is_recognised(open_server: Server) -> None:
    port = open_server.url.rpartition(":")[2]
    ended = run(open_server.folder, "doctor", PORT=port)
    assert ended.status == 0
    assert "can be read and written" in ended.out
    assert "is running at" in ended.out


def test_every_part_that_fails_is_named_without_a_secret(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()
        ended = run(
            tmp_path,
            "doctor",
            HOST="0.0.0.0",
            PORT="0",
            DATABASE_URL=f"postgresql://ada:sesame@127.0.0.1:{port}/app",
            FILES_URL="file:///proc/nowhere",
            REDIS_URL=f"redis://:sesame@127.0.0.1:{port}/0",
            OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1",
            OPENAI_API_KEY="sesame",
            MODEL="some",
        )
    assert ended.status == 1
    assert states(ended.out) == {
        "Settings": "ok",
        "Database": "failed",
        "Files": "failed",
        "Run engine": "failed",
        "Model server": "failed",
        "Access": "failed",
        "Address": "ok",
    }
    assert "sesame" not in ended.out + ended.err


def test_a_model_that_the_server_does_not_offer_is_found(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    ended = run(tmp_path, "doctor", PORT="0", OPENAI_BASE_URL=upstream.url, MODEL="no-such-model")
    assert ended.status == 1
    assert "MODEL is none of those that the server offers" in ended.out


def test_each_setting_that_is_wrong_is_a_line(tmp_path: Path) -> None:
    ended = run(tmp_path, "doctor", LINK_SECRET="short-secret", LEASE_SECONDS="never")
    assert ended.status == 1
    assert len(re.findall("Settings .* failed", ended.out)) == 2
    assert "short-secret" not in ended.out


def test_init_db_creates_a_schema_once(tmp_path: Path, empty_database_url: str) -> None:
    first = run(tmp_path, "init-db", DATABASE_URL=empty_database_url)
    again = run(tmp_path, "init-db", DATABASE_URL=empty_database_url)
    assert (first.status, again.status) == (0, 0)
    assert first.out.endswith("is created.\n")
    assert again.out.endswith("is already there.\n")


def test_a_server_asks_for_init_db_on_postgresql(tmp_path: Path, empty_postgres_url: str) -> None:
    ended = run(tmp_path, "serve", "--port", "0", DATABASE_URL=empty_postgres_url)
    assert ended.status == 2
    assert "run `gpt-assistant-api init-db`" in ended.err


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").out == "0.1.0\n"


def states(table: str) -> dict[str, str]:
    """Return the state of every subject in a table."""
    return dict(re.findall(r"^│ (\w[\w ]*?) +│ (ok|failed) +│", table, re.MULTILINE))
