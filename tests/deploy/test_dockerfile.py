"""The image, as far as it can be told without building it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt_assistant_api.settings import Settings
from tests.cli.programs import environment
from tests.house.source import ROOT
from tests.processes import free_port
from tests.server import RunningServer, make_settings, running

from .dockerfile import Instruction, instructions

ALL = instructions(ROOT / "Dockerfile")
LAST = [instruction for instruction in ALL if instruction.stage == ALL[-1].stage]
# What ENV may set beside our settings: the interpreter's and the system's own.
OTHERS = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "TMPDIR"}


def only(name: str, among: list[Instruction] = LAST) -> Instruction:
    """Return the one instruction of this name."""
    [found] = [instruction for instruction in among if instruction.name == name]
    return found


def variables() -> dict[str, str]:
    """Return the environment that the image sets."""
    return only("ENV").variables


def test_both_stages_take_the_one_base_image_that_a_build_can_pin_by_digest() -> None:
    base = only("ARG", ALL).variables["PYTHON_IMAGE"]
    assert re.fullmatch(r"python:3\.11-slim", base)
    froms = [instruction.text for instruction in ALL if instruction.name == "FROM"]
    assert froms == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


def test_everything_comes_from_the_lock_with_its_hashes_and_the_makefiles_uv() -> None:
    build = " ".join(instruction.text for instruction in ALL if instruction.stage == 1)
    assert "--require-hashes" in build
    assert "requirements.txt" in build
    assert "--no-deps" in build
    [pinned] = re.findall(r'"(uv>=[^"]+)"', build)
    assert pinned in (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^asyncpg==", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE)


def test_the_last_stage_installs_nothing_and_takes_the_installed_program_alone() -> None:
    shell = " ".join(instruction.text for instruction in LAST if instruction.name == "RUN")
    assert not re.search(r"\b(pip|uv|apt|apt-get|gcc|curl|wget)\b", shell)
    assert only("COPY").text == "--from=build /opt/gpt-assistant-api /opt/gpt-assistant-api"


def test_the_program_is_nobody_in_particular_by_a_number_that_stays() -> None:
    assert only("USER").text == "10001:10001"
    users = only("RUN").text
    assert "--uid 10001" in users
    assert "--gid 10001" in users


def test_nothing_but_the_data_folder_is_written() -> None:
    assert only("VOLUME").text == "/data"
    assert variables()["DATA_DIR"] == variables()["TMPDIR"] == "/data"
    assert variables()["PYTHONDONTWRITEBYTECODE"] == "1"
    assert not only("WORKDIR").text.startswith("/data")


def test_the_command_gets_its_signals_itself_and_any_other_command_can_be_named() -> None:
    assert only("ENTRYPOINT").exec_form == ["gpt-assistant-api"]
    assert only("CMD").exec_form == ["serve"]
    assert only("STOPSIGNAL").text == "SIGTERM"


def test_it_listens_to_others_and_what_it_sets_are_settings() -> None:
    assert variables()["HOST"] == "0.0.0.0"
    assert only("EXPOSE").text == variables()["PORT"]
    assert {name.lower() for name in variables().keys() - OTHERS} <= set(Settings.model_fields)


def test_no_secret_is_built_in() -> None:
    names = {name for found in ALL if found.name in {"ENV", "ARG"} for name in found.variables}
    assert not [name for name in names if re.search(r"KEY|SECRET|PASSWORD|TOKEN|_URL", name)]


def test_the_context_has_what_is_copied_and_nothing_of_the_operators() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = [found.text for found in ALL if found.name == "COPY" and "--from" not in found.text]
    sources = {word.removeprefix("./") for text in copied for word in text.split()[:-1]}
    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[RunningServer]:
    """A server as the health check finds it."""
    with running(make_settings(tmp_path)) as server:
        yield server


def test_the_health_check_tells_a_server_that_answers_from_none(listening: RunningServer) -> None:
    text = only("HEALTHCHECK").text
    assert {"--interval", "--timeout", "--start-period", "--retries"} <= set(
        re.findall(r"--[a-z-]+", text)
    )
    program, *arguments = Instruction(0, "CMD", text.partition("CMD ")[2]).exec_form
    assert program == "python"
    for port, status in ((listening.url.rpartition(":")[2], 0), (str(free_port()), 1)):
        checked = subprocess.run(
            [sys.executable, *arguments], check=False, capture_output=True, timeout=30,
            env=environment(PORT=port, http_proxy="http://127.0.0.1:9", no_proxy=""),
        )  # fmt: skip
        assert checked.returncode == status, checked.stderr
