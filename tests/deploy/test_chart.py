"""The Helm chart, as far as it can be told without Helm."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from gpt_assistant_api.settings import Settings
from tests.house.source import ROOT

from .skeleton import defined, documents

CHART = ROOT / "deploy" / "helm" / "gpt-assistant-api"
TEMPLATES = sorted(CHART.glob("templates/*.yaml"))
ABOUT: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
NAMED = defined((CHART / "templates" / "_helpers.tpl").read_text("utf-8"))


def described(name: str) -> dict[str, Any]:
    """Return the structure of the first object of a template."""
    return documents(CHART / "templates" / f"{name}.yaml", NAMED)[0]


def pod_of(name: str) -> dict[str, Any]:
    """Return the structure of the pods of a template."""
    pod: dict[str, Any] = described(name)["spec"]["template"]["spec"]
    return pod


def container_of(name: str) -> dict[str, Any]:
    """Return the structure of the one container of these pods."""
    [container] = pod_of(name)["containers"]
    structure: dict[str, Any] = container
    return structure


def test_the_charts_program_is_this_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert ABOUT["name"] == project["name"]
    assert ABOUT["appVersion"] == project["version"]


def test_every_value_that_a_template_uses_is_there_with_an_explanation() -> None:
    for template in [*TEMPLATES, *CHART.glob("templates/*.t*")]:
        for path in re.findall(r"\.Values\.([\w.]+)", template.read_text("utf-8")):
            value: Any = VALUES
            for name in path.split("."):
                assert name in value, f"{template.name}: {path}"
                value = value[name]


def test_every_value_is_used() -> None:
    used = " ".join(path.read_text("utf-8") for path in CHART.glob("templates/*"))
    for name, value in VALUES.items():
        inner = value if isinstance(value, dict) and name != "settings" else {"": None}
        for key in inner:
            assert f".Values.{name}.{key}".rstrip(".") in used, f"{name}.{key}"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_every_template_describes_objects_of_one_kind_each(template: Path) -> None:
    found = documents(template, NAMED)
    assert found
    for document in found:
        assert {"apiVersion", "kind", "metadata"} <= document.keys()
        assert document["metadata"]["labels"]["app.kubernetes.io/name"]


@pytest.mark.parametrize("name", ["server", "worker", "init-db"])
def test_every_pod_runs_without_rights(name: str) -> None:
    pod, container = pod_of(name), container_of(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "resources" in container


@pytest.mark.parametrize("name", ["server", "worker", "init-db"])
def test_secrets_are_files_of_a_secret_that_is_there_already(name: str) -> None:
    volumes = {volume["name"]: volume for volume in pod_of(name)["volumes"]}
    assert volumes.keys() == {"data", "secrets"}
    assert volumes["data"]["emptyDir"] == {}
    mounts = {mount["name"]: mount["mountPath"] for mount in container_of(name)["volumeMounts"]}
    assert mounts["data"] == "/data"
    variables = {item["name"]: item["value"] for item in container_of(name)["env"] if item}
    assert variables["SECRETS_DIR"] == mounts["secrets"]
    assert "kind: Secret\n" not in "".join(path.read_text("utf-8") for path in TEMPLATES)


def test_the_migration_sees_the_databases_address_and_no_other_secret() -> None:
    [secret] = [volume["secret"] for volume in pod_of("init-db")["volumes"] if "secret" in volume]
    assert [item["path"] for item in secret["items"]] == ["database_url"]


def test_a_server_is_probed_for_its_life_and_for_its_readiness() -> None:
    server = container_of("server")
    assert server["args"] == ["serve"]
    assert server["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert server["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert server["readinessProbe"]["httpGet"]["path"] == "/readyz"
    # The checks behind it may take 4 s.
    assert server["readinessProbe"]["timeoutSeconds"] > 4
    assert container_of("worker")["args"] == ["worker"]
    assert not {key for key in container_of("worker") if key.endswith("Probe")}


def test_there_is_time_to_end_in_order() -> None:
    pod = pod_of("server")
    pause = container_of("server")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] == 40 >= pause + 35
    assert pod_of("worker")["terminationGracePeriodSeconds"] == 40


def test_the_schema_is_brought_up_to_date_before_the_servers_are_replaced() -> None:
    job = described("init-db")
    assert container_of("init-db")["args"] == ["init-db"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    rolling = described("server")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_servers_scale_by_cpu_and_on_wish_by_open_streams() -> None:
    scaler = described("horizontalpodautoscaler")["spec"]
    assert [metric["type"] for metric in scaler["metrics"]] == ["Resource", "Pods"]
    assert scaler["scaleTargetRef"]["kind"] == described("server")["kind"]
    assert VALUES["autoscaling"]["openStreams"]["enabled"] is False


def test_the_ingress_buffers_nothing() -> None:
    annotations = VALUES["ingress"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 120


def test_what_the_templates_and_the_values_set_are_settings() -> None:
    text = (CHART / "templates" / "_helpers.tpl").read_text("utf-8")
    names = {*re.findall(r"- name: ([A-Z_]+)$", text, re.MULTILINE), *VALUES["settings"]}
    assert {name.lower() for name in names - {"SECRETS_DIR"}} <= set(Settings.model_fields)


@pytest.mark.parametrize(
    "change",
    [
        {"existingSecret": "assistant"},
        {"settings": {"MODEL": "m", "CONCURRENT_RUNS": "4"}},
        {"image": {"repository": "r", "digest": f"sha256:{'0' * 64}"}},
        {"worker": {"replicas": 0, "resources": {}}},
    ],
)
def test_the_schema_takes_the_values_and_sensible_changes(change: dict[str, Any]) -> None:
    jsonschema_rs.validate(SCHEMA, {**VALUES, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"replicaz": 3},
        {"settings": {"MAX_UPLOAD_BYTES": 20971520}},
        {"settings": {"OPENAI_API_KEY": "in the clear"}},
        {"settings": {"HOST": "127.0.0.1"}},
        {"settings": {"model": "in lower case"}},
        {"image": {"repository": "r", "tag": "latest"}},
        {"image": {"repository": "r", "digest": "sha256:cut"}},
        {"server": {"replicas": -1, "resources": {}}},
        {"autoscaling": {"enabled": "yes"}},
    ],
)
def test_the_schema_refuses_what_cannot_be_meant(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(SCHEMA, {**VALUES, **change})


def test_every_secret_setting_is_kept_out_of_the_values() -> None:
    refused = set(SCHEMA["properties"]["settings"]["propertyNames"]["not"]["enum"])
    secrets = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert secrets <= refused
