"""compose.yaml: the scaled form on one machine, hardened."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpt_assistant_api.blobs import open_blobs
from gpt_assistant_api.settings import Settings
from tests.house.source import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROGRAMS = ["server", "worker", "init-db"]
STORES = ["postgres", "valkey", "files"]
CREDENTIALS_OF_S3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
# ${NAME:?what to do} and ${NAME:-default}
_VARIABLE = re.compile(r"\$\{(\w+):([?-])([^}]*)\}")


def filled(text: str) -> str:
    """Return a value as Compose fills it in, with a long secret where one is needed."""
    return _VARIABLE.sub(
        lambda found: found[3] if found[2] == "-" else "0f9a4c7be2d81536" * 4, text
    )


def environment_of(name: str) -> dict[str, str]:
    """Return the environment of a service."""
    return {key: filled(value) for key, value in SERVICES[name]["environment"].items()}


def test_there_are_all_parts_of_the_scaled_form() -> None:
    assert sorted(SERVICES) == sorted([*PROGRAMS, *STORES, "proxy"])
    assert SERVICES["server"]["deploy"] == {"replicas": 2}
    assert SERVICES["worker"]["command"] == ["worker"]
    assert SERVICES["init-db"]["command"] == ["init-db"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert not {"privileged", "network_mode", "pid", "ipc"} & service.keys()
    if name not in {"proxy", "files"}:
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_a_version(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert re.match(r"v?\d", tag)


def test_the_programs_image_has_the_programs_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert {SERVICES[name]["image"] for name in PROGRAMS} == {f"gpt-assistant-api:{version}"}


@pytest.mark.parametrize("name", ["proxy", *STORES])
def test_what_others_wait_for_has_a_health_check(name: str) -> None:
    assert {"test", "interval", "timeout", "retries"} <= SERVICES[name]["healthcheck"].keys()


def test_servers_and_workers_wait_for_the_schema_and_the_stores() -> None:
    for name in ("server", "worker"):
        assert SERVICES[name]["depends_on"] == {
            "init-db": {"condition": "service_completed_successfully"}
        } | {store: {"condition": "service_healthy"} for store in STORES}
    assert SERVICES["init-db"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["init-db"]["restart"] == "no"
    assert SERVICES["proxy"]["depends_on"] == {"server": {"condition": "service_healthy"}}


def test_the_images_health_check_is_off_where_nothing_listens() -> None:
    assert "healthcheck" not in SERVICES["server"]
    for name in ("worker", "init-db"):
        assert SERVICES[name]["healthcheck"] == {"disable": True}


def test_there_is_time_to_hand_runs_over() -> None:
    for name in ("server", "worker"):
        assert SERVICES[name]["stop_grace_period"] == "40s"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_is_given_settings_that_it_knows_and_takes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment_of(name)
    ours = {key: value for key, value in given.items() if key not in CREDENTIALS_OF_S3}
    assert {key.lower() for key in ours} <= set(Settings.model_fields)
    for key in Settings.model_fields:
        monkeypatch.delenv(key.upper(), raising=False)
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    settings = Settings(_env_file=None)
    assert settings.host == "0.0.0.0"
    assert settings.effective_database_url.startswith("postgresql://")
    open_blobs(settings.effective_files_url)


def test_no_secret_stands_in_the_file_and_none_has_a_default() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            for variable in _VARIABLE.finditer(value):
                assert (variable[2] == "?") == bool(re.search("KEY|SECRET|PASSWORD", variable[1]))
            if re.search(r"KEY|SECRET|PASSWORD|AUTH", key):
                assert _VARIABLE.fullmatch(value), key
    in_urls = re.findall(
        r"://[^@\s/]*:(\$\{[^}]*\}|[^@\s]*)@", (ROOT / "compose.yaml").read_text("utf-8")
    )
    assert in_urls
    assert all(_VARIABLE.fullmatch(password) for password in in_urls)


def test_only_the_proxy_can_be_reached_and_by_default_from_this_machine_alone() -> None:
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["proxy"]
    for port in SERVICES["proxy"]["ports"]:
        assert filled(port).startswith("127.0.0.1:")


def test_the_stores_are_in_a_network_of_their_own() -> None:
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    assert SERVICES["proxy"]["networks"] == ["outside"]
    for store in STORES:
        assert SERVICES[store]["networks"] == ["stores"]


def test_what_is_mounted_from_here_is_there_and_read_only() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("."):
                assert (ROOT / Path(source)).is_file()
                assert rest.endswith(":ro")
            else:
                assert source in COMPOSE["volumes"]


def test_the_stores_speak_of_the_same_bucket_and_region() -> None:
    garage = tomllib.loads((ROOT / "deploy" / "compose" / "garage.toml").read_text("utf-8"))
    port = garage["s3_api"]["api_bind_addr"].rpartition(":")[2]
    bucket = SERVICES["files"]["environment"]["GARAGE_DEFAULT_BUCKET"]
    region = garage["s3_api"]["s3_region"]
    assert SERVICES["server"]["environment"]["FILES_URL"] == (
        f"s3://{bucket}?endpoint=http://files:{port}&region={region}"
    )
