"""The description of the API: complete, true, and shown on a page that needs nobody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from gpt_assistant_api.api.rest.rules import RULES, Rule
from gpt_assistant_api.domain.errors import InvalidError
from gpt_assistant_api.domain.users import checked_user_id
from tests.api.helpers import assert_problem
from tests.server import RunningServer, client_of, make_settings, running

CHROMIUM = Path("/usr/bin/chromium")
PROBLEM = "application/problem+json"
FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}
BODIES = {
    "ask": {"application/json", *FORMS},
    "regenerate": {"application/json", *FORMS},
    "update_thread": {"application/json", *FORMS},
    "upload_file": {"multipart/form-data"},
}
SECURITY: dict[Rule, list[dict[str, list[str]]] | None] = {
    Rule.PUBLIC: None,
    Rule.LINK: [{"bearer": []}, {}],
    Rule.CALLER: [{"bearer": []}],
    Rule.OPERATOR: [{"bearer": []}],
}
SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = make_settings(
        tmp_path_factory.mktemp("openapi"), cors_origins=["https://app.example"]
    )
    with running(settings) as server:
        yield server


@pytest.fixture(scope="module")
def document(server: RunningServer) -> dict[str, Any]:
    described: dict[str, Any] = httpx2.get(f"{server.url}/openapi.json").json()
    return described


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }


def test_every_operation_says_what_it_is_for(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for operation_id, operation in operations.items():
        assert len(operation["tags"]) == 1, operation_id
        assert operation["tags"][0] in tags, operation_id
        assert operation["summary"], operation_id
        assert operation["description"].rstrip().endswith("."), operation_id
        for parameter in operation.get("parameters", []):
            kind = parameter["schema"]
            assert parameter.get("description") or kind.get("examples"), (operation_id, parameter)
            assert "null" not in str(kind), (operation_id, parameter)


def test_every_operation_describes_its_errors_and_its_credentials(
    operations: dict[str, dict[str, Any]],
) -> None:
    for operation_id, operation in operations.items():
        rule = RULES[operation_id]
        assert operation.get("security") == SECURITY[rule]
        refusals = {
            int(status): response
            for status, response in operation["responses"].items()
            if int(status) >= 400
        }
        if rule is Rule.PUBLIC:
            continue
        assert set(refusals) >= {401, 403, 422, 429, 500, 503}, operation_id
        assert ("requestBody" in operation) == ({400, 413, 415} <= set(refusals)), operation_id
        for response in refusals.values():
            assert response["description"].endswith("."), operation_id
            assert set(response["content"]) == {PROBLEM}, operation_id


def test_bodies_list_every_media_type_that_is_taken(
    operations: dict[str, dict[str, Any]],
) -> None:
    taken = {
        operation_id: set(operation["requestBody"]["content"])
        for operation_id, operation in operations.items()
        if "requestBody" in operation
    }
    assert taken == BODIES


def test_every_success_has_a_schema_with_valid_examples(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    shapes = document["components"]["schemas"]
    for operation_id, operation in operations.items():
        for status, response in operation["responses"].items():
            if int(status) in {200, 201, 202} and operation_id not in {"get_file", "get_metrics"}:
                assert response["content"], (operation_id, status)
            if content := response.get("content", {}).get("application/json"):
                assert content["schema"]["$ref"].split("/")[-1] in shapes
    for name, shape in shapes.items():
        for field, kind in shape.get("properties", {}).items():
            assert has_example(kind), f"{name}.{field}"
            check_examples(document, kind)


def test_examples_of_parameters_and_bodies_are_valid(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    for operation in operations.values():
        for parameter in operation.get("parameters", []):
            check_examples(document, parameter["schema"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            example = {}
            for field, kind in content["schema"]["properties"].items():
                check_examples(document, kind)
                if kind.get("examples"):
                    example[field] = kind["examples"][0]
            if set(content["schema"].get("required", [])) <= set(example):
                jsonschema_rs.validate(content["schema"], example)


def test_a_user_is_described_as_it_is_taken(operations: dict[str, dict[str, Any]]) -> None:
    [described] = [
        parameter["schema"]
        for parameter in operations["delete_thread"]["parameters"]
        if parameter["name"] == "user_id"
    ]
    validator = jsonschema_rs.validator_for(described)
    characters = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    user_ids = ["", ".", "..", "...", " a", "a ", *(f"a{character}b" for character in characters)]
    assert [name for name in user_ids if validator.is_valid(name) != is_taken(name)] == []


def is_taken(user_id: str) -> bool:
    try:
        return checked_user_id(user_id) == user_id
    except InvalidError:
        return False


def has_example(kind: dict[str, Any]) -> bool:
    """Tell whether a reader, and the page, can see what a field may hold."""
    if {"examples", "enum", "const", "$ref"} & set(kind) or kind.get("type") == "null":
        return True
    kinds = [*kind.get("anyOf", []), *([kind["items"]] if "items" in kind else [])]
    return bool(kinds) and all(map(has_example, kinds))


def check_examples(document: dict[str, Any], kind: dict[str, Any]) -> None:
    validator = jsonschema_rs.validator_for({**kind, "components": document["components"]})
    for example in kind.get("examples", []):
        validator.validate(example)


@pytest.mark.parametrize(
    "path", ["/threads/ada", "/", "/docs", "/openapi.json", "/nowhere", "/ask"]
)
async def test_every_response_carries_the_safe_headers(server: RunningServer, path: str) -> None:
    async with client_of(server) as client:
        headers = (await client.get(path)).headers
    assert {name: headers.get(name) for name in SAFE_HEADERS} == SAFE_HEADERS
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "unsafe" not in policy
    assert headers["permissions-policy"]
    assert headers["x-request-id"]


async def test_a_method_that_a_path_does_not_know_is_told_all_that_it_knows(
    server: RunningServer, document: dict[str, Any]
) -> None:
    paths = {path: set(methods) for path, methods in document["paths"].items()}
    pages = ("/", "/docs", "/assets/{name}", "/openapi.json")
    paths |= {path: {"get"} for path in pages}
    async with client_of(server) as client:
        for path, known in paths.items():
            for method in {"get", "post", "put", "patch", "delete", "options", "trace"} - known:
                response = await client.request(method.upper(), path.replace("{", "").rstrip("}"))
                assert_problem(response, 405, "method_not_allowed")
                assert response.headers["allow"] == ", ".join(sorted(map(str.upper, known)))
        response = await client.head("/healthz")
        assert (response.status_code, response.headers["allow"]) == (405, "GET")


async def test_configured_origins_may_call_and_others_may_not(server: RunningServer) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "prefer"}
    async with client_of(server) as client:
        ours = await client.options("/ask", headers={"Origin": "https://app.example", **asks})
        others = await client.options("/ask", headers={"Origin": "https://other.example", **asks})
    assert ours.status_code == 200
    assert ours.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in ours.headers
    assert "access-control-allow-origin" not in others.headers


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs a Chromium")
async def test_the_page_shows_the_api_and_loads_nothing_from_elsewhere(
    server: RunningServer, tmp_path: Path, operations: dict[str, dict[str, Any]]
) -> None:
    from playwright.async_api import async_playwright

    trouble: list[str] = []
    requested: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 1600})
        page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("requestfailed", lambda request: trouble.append(request.url))
        page.on("request", lambda request: requested.append(request.url))
        await page.goto(f"{server.url}/docs")
        await page.locator(".opblock").nth(len(operations) - 1).wait_for()
        await page.screenshot(path=tmp_path / "docs.png")
        assert await page.locator(".opblock").count() == len(operations)
        await page.locator("#operations-Conversations-ask .opblock-summary-control").click()
        await page.locator("#operations-Conversations-ask .responses-wrapper").first.wait_for()
        await browser.close()
    assert not trouble
    assert all(url.startswith((server.url, "data:")) for url in requested)
