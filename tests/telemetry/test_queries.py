"""Dashboard, alerts, chart and document name what a server shows, by its real names and labels."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import yaml

from tests.api.helpers import ask, png
from tests.house.source import ROOT
from tests.model_server import Answer, ModelServerSimulation

from .figures import Figures, figures_of

DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "deploy" / "grafana" / "gpt-assistant-api.json").read_text("utf-8")
)
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS: dict[str, Any] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
SCRAPE: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
VALUES: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "helm" / "gpt-assistant-api" / "values.yaml").read_text("utf-8")
)
DOCUMENT = (ROOT / "docs" / "operating" / "monitoring.md").read_text("utf-8")

# What Prometheus itself adds to everything that it scrapes.
ADDED = {"job", "instance"}
_WORDS = {"by", "without", "on", "ignoring", "unless", "and", "or", "bool", "offset"}
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?(?!\s*\(|\w)")
_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"\s*')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Selector:
    """A metric that a query names, with the labels that it must have."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(query: str) -> Iterator[Selector]:
    """Yield every metric that a query names."""
    query = re.sub(r"\[[^\]]*\]", "", _GROUPING.sub("", query))
    for name, inside in _SELECTOR.findall(query):
        if name not in _WORDS:
            matchers = [part for part in inside.split(",") if part]
            found = [_MATCHER.fullmatch(part) for part in matchers]
            assert all(found), f"{query}: {inside}"
            yield Selector(name, tuple((m[1], m[2], m[3]) for m in found if m))


def missing(query: str, figures: Figures) -> list[str]:
    """Return what a query names and the figures have not."""
    wrong = []
    labels_seen = set(ADDED)
    for selector in selectors(query):
        if selector.name == "up":
            continue
        series = [dict(labels) for name, labels in figures if name == selector.name]
        labels_seen |= {label for one in series for label in one}
        if not any(_fits(one, selector) for one in series):
            wrong.append(f"{selector.name}{selector.matchers}")
    for group in _GROUPING.findall(query):
        names = {name.strip() for name in group.split(",")}
        wrong += sorted(names - labels_seen)
    return wrong


def _fits(series: dict[str, str], selector: Selector) -> bool:
    for label, operator, value in selector.matchers:
        if label in ADDED:
            continue
        assert operator in {"=", "=~"}, "no other is used"
        pattern = re.escape(value) if operator == "=" else value
        if label not in series or not re.fullmatch(pattern, series[label]):
            return False
    return True


def queries() -> list[str]:
    """Return every query of the dashboard and the alerts."""
    panels = [
        target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])
    ]
    rules = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    assert len(panels) > 20
    assert len(rules) > 5
    return [*panels, *rules]


@pytest.fixture
async def figures(client: httpx2.AsyncClient, upstream: ModelServerSimulation) -> Figures:
    """The figures of a server that has answered, streamed and failed."""
    asked_to_wait = Answer(status=429, headers={"Retry-After": "60"})
    upstream.script(Answer(), Answer(), Answer(status=401), asked_to_wait)
    await ask(client)
    body: dict[str, Any] = {"user_id": "ada", "prompt": "Why?"}
    answers = [
        await client.post("/ask", json={**body, "stream": True}),
        await client.post("/ask", json=body),
        await client.post("/ask", data=body, files={"file": ("a.png", png())}),
    ]
    assert [answer.status_code for answer in answers] == [200, 502, 503]
    return await figures_of(client)


async def test_every_query_finds_what_it_asks_for(figures: Figures) -> None:
    wrong = {query: names for query in queries() if (names := missing(query, figures))}
    assert wrong == {}


async def test_the_chart_scales_by_a_figure_that_there_is(figures: Figures) -> None:
    assert (VALUES["autoscaling"]["openStreams"]["metric"], frozenset()) in figures


async def test_the_document_has_each_of_our_figures_once_with_its_labels(figures: Figures) -> None:
    row = re.compile(r"^\| `(gpt_assistant_\w+)` \| \w+ \|(.*?)\| .+ \|$", re.MULTILINE)
    documented = {name: set(re.findall(r"\w+", labels)) for name, labels in row.findall(DOCUMENT)}
    assert len(documented) == len(row.findall(DOCUMENT))
    shown: dict[str, set[str]] = {}
    for name, labels in figures:
        if not name.startswith("gpt_assistant_") or name.endswith(("_created", "_sum", "_count")):
            continue
        found = {label for label, _ in labels if label != "le"}
        shown.setdefault(name.removesuffix("_bucket"), set()).update(found)
    assert documented == shown


def test_the_example_scrapes_under_the_name_that_the_alerts_expect() -> None:
    assert [job["job_name"] for job in SCRAPE["scrape_configs"]] == ["gpt-assistant-api"]
    for rule in (rule for group in ALERTS["groups"] for rule in group["rules"]):
        for selector in selectors(rule["expr"]):
            assert ("job", "=", "gpt-assistant-api") in selector.matchers, rule["alert"]
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
    assert SCRAPE["rule_files"] == ["alerts.yml"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sum(rate(nothing_total[5m]))", ["nothing_total()"]),
        ('known{status="gone"}', ["known(('status', '=', 'gone'),)"]),
        ("sum by (colour) (known)", ["colour"]),
        ('sum by (status, job) (known{status=~"a|b", job="x"}) > 0.5', []),
    ],
)
def test_a_query_that_asks_for_nothing_is_found(query: str, named: list[str]) -> None:
    assert missing(query, {("known", frozenset({("status", "a")})): 1.0}) == named
