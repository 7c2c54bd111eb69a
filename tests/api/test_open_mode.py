"""Open mode over HTTP: the machine itself is served, and no page or proxy of another."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.credentials import Service, guarded
from tests.api.helpers import assert_problem
from tests.model_server import ModelServerSimulation
from tests.server import RunningServer, client_of, make_settings, running

PATHS = ("/threads/ada", "/healthz", "/docs", "/openapi.json", "/nowhere")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with ModelServerSimulation() as upstream:
        settings = make_settings(
            tmp_path_factory.mktemp("open"), openai_base_url=upstream.url, model="sim"
        )
        with running(settings) as server:
            yield server


def port_of(client: httpx2.AsyncClient) -> int:
    port = client.base_url.port
    assert port is not None
    return port


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org"},
        {"Host": "localhost"},
        {"Host": "localhost:1"},
        {"Host": "localhost.example.org:PORT"},
        {"Host": "10.0.0.1:PORT"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost:PORT"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
)
async def test_other_hosts_and_proxies_are_refused_everywhere(
    client: httpx2.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    port = str(port_of(client))
    sent = {name: value.replace("PORT", port) for name, value in headers.items()}
    response = await client.get(path, headers=sent)
    problem = assert_problem(response, 403, "host_refused")
    assert problem["title"] == "Forbidden"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_pages_of_other_sites_are_refused_everywhere_and_never_invited(
    client: httpx2.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        response = await client.request(method, path, headers=headers)
        assert_problem(response, 403, "origin_refused")
        assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_a_form_of_another_site_changes_nothing(client: httpx2.AsyncClient) -> None:
    response = await client.post(
        "/ask",
        data={"user_id": "ada", "prompt": "Hello."},
        headers={"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"},
    )
    assert_problem(response, 403, "origin_refused")
    assert (await client.get("/threads/ada")).json() == {"threads": [], "next_cursor": None}


async def test_a_preflight_is_not_answered_with_an_invitation(client: httpx2.AsyncClient) -> None:
    own = {"Origin": f"http://localhost:{port_of(client)}", "Access-Control-Request-Method": "POST"}
    response = await client.options("/ask", headers=own)
    assert_problem(response, 405, "method_not_allowed")
    assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_the_machine_itself_and_its_own_pages_are_served(client: httpx2.AsyncClient) -> None:
    for name in ("localhost", "127.0.0.1", "[::1]"):
        host = f"{name}:{port_of(client)}"
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        response = await client.get("/healthz", headers=headers)
        assert response.status_code == 200
        assert response.json()["open_mode"] is True


async def test_a_link_elsewhere_may_lead_to_the_pages_alone(client: httpx2.AsyncClient) -> None:
    followed = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert (await client.get("/docs", headers=followed)).status_code == 200
    assert (await client.get("/", headers=followed)).status_code == 200
    refused = await client.get("/users/ada/export", headers=followed)
    assert_problem(refused, 403, "origin_refused")


@pytest.fixture
def with_keys(tmp_path: Path) -> Iterator[Service]:
    with guarded(tmp_path) as service:
        yield service


async def test_with_keys_the_credential_decides_and_not_the_host(with_keys: Service) -> None:
    elsewhere = {"Host": "api.example.org", "X-Forwarded-For": "192.0.2.1"}
    async with client_of(with_keys.server, with_keys.key) as client:
        health = (await client.get("/healthz", headers=elsewhere)).json()
        assert health["open_mode"] is False
        assert (await client.get("/threads/ada", headers=elsewhere)).status_code == 200
        nobody = await client.get("/threads/ada", headers={**elsewhere, "Authorization": ""})
        assert_problem(nobody, 401, "credentials_invalid")
