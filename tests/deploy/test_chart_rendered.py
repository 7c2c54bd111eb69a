"""The Helm chart by Helm itself, where its library is installed: as in `.ci/run`."""

from typing import Any

import pytest
import yaml

from .test_chart import CHART

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")

EVERYTHING: dict[str, Any] = {
    "existingSecret": "assistant",
    "ingress": {"enabled": True},
    "autoscaling": {"enabled": True, "openStreams": {"enabled": True}},
    "metrics": {"enabled": True, "podMonitor": {"enabled": True, "labels": {"release": "p"}}},
}


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that an installation with these values makes."""
    with helm.Chart.load(str(CHART)) as chart:
        texts: dict[str, str] = chart.render(values, name="mine", namespace="chat")
    return [
        document
        for path, text in texts.items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def test_helm_finds_nothing_to_complain_of() -> None:
    found = helm.lint(str(CHART), EVERYTHING, strict=True)
    assert found["errors"] == []
    assert [message for message in found["messages"] if message["severity"] > 1] == []


def test_everything_that_can_be_switched_on_is_made() -> None:
    kinds = [document["kind"] for document in rendered(EVERYTHING)]
    assert kinds.count("Deployment") == 2
    assert {"HorizontalPodAutoscaler", "Ingress", "Job", "PodDisruptionBudget", "Service"} <= {
        *kinds
    }
    assert "PodMonitor" in kinds


def test_the_figures_port_is_the_same_for_the_program_the_pod_and_its_monitor() -> None:
    objects = rendered(EVERYTHING)
    [monitor] = [document for document in objects if document["kind"] == "PodMonitor"]
    assert monitor["metadata"]["labels"]["release"] == "p"
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    pods = [document for document in objects if document["kind"] == "Deployment"]
    assert len(pods) == 2
    for pod in (document["spec"]["template"] for document in pods):
        assert wanted <= pod["metadata"]["labels"].items()
        [container] = pod["spec"]["containers"]
        [port] = [port for port in container["ports"] if port["name"] == endpoint["port"]]
        assert {"name": "METRICS_PORT", "value": str(port["containerPort"])} in container["env"]


def test_what_is_switched_off_is_not_made() -> None:
    kinds = {document["kind"] for document in rendered({"existingSecret": "assistant"})}
    assert not kinds & {"HorizontalPodAutoscaler", "Ingress", "PodMonitor"}


def test_settings_and_resources_arrive_where_the_program_reads_them() -> None:
    values = {"existingSecret": "assistant", "settings": {"MODEL": "m"}, "worker": {"replicas": 3}}
    pods = {
        document["metadata"]["name"]: document["spec"]
        for document in rendered(values)
        if document["kind"] == "Deployment"
    }
    [worker] = [spec for name, spec in pods.items() if name.endswith("worker")]
    assert worker["replicas"] == 3
    for spec in pods.values():
        [container] = spec["template"]["spec"]["containers"]
        assert {"name": "MODEL", "value": "m"} in container["env"]
        [secrets] = [v for v in spec["template"]["spec"]["volumes"] if v["name"] == "secrets"]
        assert secrets["secret"]["secretName"] == "assistant"


def test_a_secret_that_is_not_named_stops_the_installation() -> None:
    with pytest.raises(helm.HelmError, match="existingSecret is needed"):
        rendered({})


def test_a_value_that_does_not_exist_stops_the_installation() -> None:
    with pytest.raises(helm.HelmError, match="replicaz"):
        rendered({"existingSecret": "assistant", "replicaz": 3})
