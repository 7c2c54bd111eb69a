"""Who may do what: every operation with every kind of credential on everybody's things."""

import json
import socket
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from gpt_assistant_api.api import access
from gpt_assistant_api.api.rest import events
from gpt_assistant_api.api.rest.context import router
from gpt_assistant_api.api.rest.rules import RULES, Rule
from gpt_assistant_api.engine import log
from gpt_assistant_api.services import keys
from tests.api.credentials import (
    ANYBODY,
    Credential,
    Service,
    database_in,
    guarded,
    make_credentials,
)
from tests.api.helpers import assert_problem, png, start, watch
from tests.model_server import Answer
from tests.server import client_of

UNKNOWN = "0" * 32
PICTURE = {"file": ("a.png", png(), "image/png")}
NO_THREAD = (404, "thread_not_found")
NO_FILE = (404, "file_not_found")
NO_MESSAGE = (404, "message_not_found")
NO_RUN = (404, "run_not_found")
INVALID = (422, "invalid_request")

Outcome = tuple[int, str | None]


@dataclass(frozen=True)
class Things:
    """What one user has."""

    user_id: str
    thread_id: str
    message_id: int
    run_id: str
    file_id: str


@dataclass(frozen=True)
class Target:
    """What a request is about.

    `user_id` is the user that it names, `owner` the one whose thing an opaque id is; `refusal` is
    what even those get who may act for both.
    """

    path: dict[str, str] = field(default_factory=dict)
    user_id: str | None = None
    owner: str | None = None
    refusal: Outcome | None = None
    needs_user: bool = False
    send: dict[str, Any] = field(default_factory=dict)


Targets = Callable[[Things, Things], list[Target]]


def plain(**path: str) -> Targets:
    return lambda _, __: [Target(path)]


def of_user(refusal: Outcome | None = None) -> Targets:
    """Operations on a user; `refusal` is for one whom nobody has heard of."""

    def targets(ada: Things, bob: Things) -> list[Target]:
        search = {"params": {"q": "said", "user_id": "bob"}}
        return [
            Target({"user_id": "ada"}, "ada", send=search),
            Target({"user_id": "bob"}, "bob", send=search),
            Target({"user_id": "carol"}, "carol", refusal=refusal, send=search),
            Target({"user_id": "%20ada"}, " ada", refusal=INVALID, send=search),
            Target({"user_id": "a%00b"}, "a\0b", refusal=INVALID, send=search),
        ]

    return targets


def of_thread(**send: Any) -> Targets:
    def targets(ada: Things, bob: Things) -> list[Target]:
        def at(user_id: str, thread_id: str) -> dict[str, str]:
            return {"user_id": user_id, "thread_id": thread_id}

        unknown = f"thread_{UNKNOWN}"
        return [
            Target(at("ada", ada.thread_id), "ada", send=send),
            Target(at("bob", bob.thread_id), "bob", send=send),
            Target(at("ada", bob.thread_id), "ada", refusal=NO_THREAD, send=send),
            Target(at("ada", unknown), "ada", refusal=NO_THREAD, send=send),
            Target(at("bob", unknown), "bob", refusal=NO_THREAD, send=send),
            Target(at("ada", "thread_x"), refusal=NO_THREAD, send=send),
            Target(at("%20ada", ada.thread_id), " ada", refusal=INVALID, send=send),
        ]

    return targets


def of_thread_update(ada: Things, bob: Things) -> list[Target]:
    mine = {"user_id": "ada", "thread_id": ada.thread_id}
    return [
        *of_thread(json={"title": "New"})(ada, bob),
        Target(mine, "ada", refusal=NO_MESSAGE, send={"json": {"head_id": bob.message_id}}),
        Target(mine, "ada", refusal=NO_MESSAGE, send={"json": {"head_id": 2**62}}),
        # The user in the path and one in the body: the body may not name any.
        Target(mine, refusal=INVALID, send={"json": {"title": "New", "user_id": "bob"}}),
    ]


def of_run(outcome: Outcome | None = None) -> Targets:
    """Operations on a run; `outcome` is what comes of one that has ended."""
    return lambda ada, bob: [
        Target({"run_id": ada.run_id}, owner="ada", refusal=outcome),
        Target({"run_id": bob.run_id}, owner="bob", refusal=outcome),
        Target({"run_id": f"run_{UNKNOWN}"}, refusal=NO_RUN),
        Target({"run_id": ada.thread_id}, refusal=NO_RUN),
    ]


def of_file(ada: Things, bob: Things) -> list[Target]:
    return [
        Target({"file_id": ada.file_id}, owner="ada"),
        Target({"file_id": bob.file_id}, owner="bob"),
        Target({"file_id": f"file_{UNKNOWN}"}, refusal=NO_FILE),
        Target({"file_id": "file_x"}, refusal=NO_FILE),
    ]


def of_ask(ada: Things, bob: Things) -> list[Target]:
    def asked(user_id: str | None, **body: Any) -> dict[str, Any]:
        return {"json": {"user_id": user_id, "prompt": f"said by {user_id}", **body}}

    def refused(refusal: Outcome, **body: Any) -> Target:
        return Target(user_id="ada", refusal=refusal, send=asked("ada", **body))

    return [
        Target(user_id="ada", send=asked("ada", thread_id=ada.thread_id, file_ids=[ada.file_id])),
        Target(user_id="bob", send=asked("bob", thread_id=bob.thread_id)),
        Target(needs_user=True, send={"json": {"prompt": "Who am I?"}}),
        Target(user_id="", refusal=INVALID, send=asked("")),
        refused(NO_THREAD, thread_id=bob.thread_id),
        refused(NO_THREAD, thread_id=f"thread_{UNKNOWN}"),
        refused(NO_THREAD, thread_id="thread_x"),
        refused(NO_FILE, file_ids=[bob.file_id]),
        refused(NO_FILE, file_ids=[f"file_{UNKNOWN}"]),
        refused(NO_FILE, file_id="file_x"),
        refused(NO_MESSAGE, thread_id=ada.thread_id, reply_to=bob.message_id),
        refused(NO_MESSAGE, thread_id=ada.thread_id, reply_to=2**62),
    ]


def of_regenerate(ada: Things, bob: Things) -> list[Target]:
    def asked(user_id: str, thread_id: str, **body: Any) -> dict[str, Any]:
        return {"json": {"user_id": user_id, "thread_id": thread_id, **body}}

    def refused(refusal: Outcome, thread_id: str, **body: Any) -> Target:
        return Target(user_id="ada", refusal=refusal, send=asked("ada", thread_id, **body))

    return [
        Target(user_id="ada", send=asked("ada", ada.thread_id, message_id=ada.message_id)),
        Target(user_id="bob", send=asked("bob", bob.thread_id)),
        refused(NO_THREAD, bob.thread_id),
        refused(NO_THREAD, f"thread_{UNKNOWN}"),
        refused(NO_MESSAGE, ada.thread_id, message_id=bob.message_id),
        refused(NO_MESSAGE, ada.thread_id, message_id=2**62),
    ]


def of_upload(ada: Things, bob: Things) -> list[Target]:
    def sent(user_id: str | None) -> dict[str, Any]:
        return {"files": PICTURE, "data": {} if user_id is None else {"user_id": user_id}}

    return [
        Target(user_id="ada", send=sent("ada")),
        Target(user_id="bob", send=sent("bob")),
        Target(send=sent(None)),
        Target(user_id="a/b", refusal=INVALID, send=sent("a/b")),
    ]


NOBODY_NEEDED = {
    "get_health",
    "get_readiness",
    "get_openapi",
    "get_docs",
    "get_asset",
    "get_home",
}
KEY_NEEDED = {"get_metrics"}
OPERATIONS: dict[str, tuple[int, Targets]] = {
    "ask": (200, of_ask),
    "regenerate": (200, of_regenerate),
    "list_threads": (200, of_user()),
    "get_thread": (200, of_thread()),
    "update_thread": (200, of_thread_update),
    "delete_thread": (204, of_thread()),
    "list_messages_with_files": (200, of_thread()),
    "download_files": (200, of_thread()),
    "search_messages": (200, of_user()),
    "upload_file": (201, of_upload),
    "get_file": (200, of_file),
    "get_run": (200, of_run()),
    "watch_run": (200, of_run()),
    "cancel_run": (409, of_run((409, "run_ended"))),
    "get_usage": (200, of_user()),
    "export_user": (200, of_user((404, "user_not_found"))),
    "delete_user": (204, of_user((404, "user_not_found"))),
    "get_health": (200, plain()),
    "get_readiness": (200, plain()),
    "get_metrics": (200, plain()),
    "get_openapi": (200, plain()),
    "get_docs": (200, plain()),
    "get_asset": (200, plain(name="docs/start.js")),
    "get_home": (200, plain()),
}
PAGES = {
    "get_openapi": ("get", "/openapi.json"),
    "get_docs": ("get", "/docs"),
    "get_asset": ("get", "/assets/{name}"),
    "get_home": ("get", "/"),
}


def expected(operation_id: str, credential: Credential, target: Target) -> Outcome:
    """What a caller gets, by the promises alone."""
    speaks_for = credential.user_id
    if operation_id in NOBODY_NEEDED:
        return OPERATIONS[operation_id][0], None
    if speaks_for is None:
        return credential.refusal
    if operation_id in KEY_NEEDED and speaks_for != ANYBODY:
        return 403, "user_forbidden"
    if target.user_id is not None and speaks_for not in (ANYBODY, target.user_id):
        return 403, "user_forbidden"
    if target.owner is not None and speaks_for not in (ANYBODY, target.owner):
        return NO_FILE if operation_id == "get_file" else NO_RUN
    if target.needs_user and speaks_for == ANYBODY:
        return 422, "user_required"
    return target.refusal or (OPERATIONS[operation_id][0], None)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with guarded(tmp_path_factory.mktemp("access"), max_upload_bytes=2**27) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client with the good key."""
    async with client_of(service.server, service.key) as client:
        yield client


async def make_things(client: httpx2.AsyncClient, user_id: str) -> Things:
    """Have a user ask something, with a picture."""
    data = {"user_id": user_id, "prompt": f"This is said by {user_id}."}
    answer = (await client.post("/ask", data=data, files=PICTURE)).json()
    question = answer["user_message"]
    return Things(
        user_id, answer["thread_id"], question["message_id"], answer["run"]["run_id"],
        question["image_id"],
    )  # fmt: skip


async def routes_of(client: httpx2.AsyncClient) -> dict[str, tuple[str, str]]:
    """Return the method and path of every operation: documented, and the pages beside them."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    documented = {
        operation["operationId"]: (method, path)
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    return documented | PAGES


async def test_every_operation_has_one_rule_and_every_rule_an_operation(
    client: httpx2.AsyncClient,
) -> None:
    operations = set(await routes_of(client))
    assert operations == set(RULES) == set(OPERATIONS)
    public = {name for name, rule in RULES.items() if rule is Rule.PUBLIC}
    assert public == NOBODY_NEEDED
    assert len(public) <= 6


def test_a_route_without_a_rule_cannot_be_made() -> None:
    with pytest.raises(KeyError, match="not_in_the_rules"):
        router("Users").get("/new", operation_id="not_in_the_rules")(lambda: None)


@pytest.mark.parametrize("operation_id", OPERATIONS)
async def test_nobody_gets_what_is_not_theirs(
    service: Service, client: httpx2.AsyncClient, operation_id: str
) -> None:
    method, path = (await routes_of(client))[operation_id]
    wrong: list[str] = []
    refusals: dict[str, set[str]] = defaultdict(set)
    targets: list[Target] = []
    async with client_of(service.server) as bare:
        for credential in make_credentials(service.key, service.revoked):
            if credential.user_id is not None or not targets:
                ada, bob = [await make_things(client, name) for name in ("ada", "bob")]
                targets = OPERATIONS[operation_id][1](ada, bob)
            for target in targets:
                send = {**target.send, "headers": credential.headers}
                send["params"] = send.get("params", {}) | credential.query
                response = await bare.request(method, path.format(**target.path), **send)
                outcome = outcome_of(response)
                if outcome != expected(operation_id, credential, target):
                    wrong.append(f"{credential.name}, {target}: {outcome}")
                if target.user_id == "ada" and "said by bob" in response.text:
                    wrong.append(f"{credential.name}, {target}: has what is bob's")
                if outcome[0] == 404:
                    refusals[outcome[1] or ""].add(without_request_id(response))
    assert not wrong
    assert all(len(bodies) == 1 for bodies in refusals.values()), "theirs looks like nobody's"


def outcome_of(response: httpx2.Response) -> Outcome:
    is_problem = response.headers.get("content-type") == "application/problem+json"
    return response.status_code, response.json()["code"] if is_problem else None


def without_request_id(response: httpx2.Response) -> str:
    problem = response.json()
    del problem["request_id"]
    return json.dumps(problem, sort_keys=True)


def test_a_large_body_of_nobody_is_refused_before_it_is_sent(service: Service) -> None:
    where = urlsplit(service.server.url)
    head = (
        f"POST /upload-file HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {50 * 2**20}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=5) as sender:
        sender.sendall(head.encode() + b"--x\r\n")
        answer = sender.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()


async def test_what_nobody_sends_leaves_no_row_and_no_file(service: Service) -> None:
    async def stored() -> tuple[Any, int]:
        async with database_in(service.folder) as database, database.read() as tx:
            rows = await tx.fetch_one("SELECT count(*) AS number FROM files")
        return rows, sum(path.is_file() for path in (service.folder / "files").rglob("*"))

    before = await stored()
    async with client_of(service.server) as nobody:
        for path in ("/upload-file", "/ask"):
            data = {"user_id": "ada", "prompt": "Look."}
            response = await nobody.post(path, data=data, files=PICTURE)
            assert_problem(response, 401, "credentials_missing")
            assert response.headers["www-authenticate"] == "Bearer"
    assert await stored() == before


async def test_a_revoked_key_stops_working_within_five_seconds(service: Service) -> None:
    async with database_in(service.folder) as database:
        key, secret = await keys.create_key(database, "soon gone")
        async with client_of(service.server, secret) as client:
            assert (await client.get("/threads/ada")).status_code == 200
            await keys.revoke_key(database, key.key_id)
            with anyio.fail_after(5):
                response = await client.get("/threads/ada")
                while response.status_code == 200:
                    response = await client.get("/threads/ada")
    assert_problem(response, 401, "credentials_invalid")


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A server that looks all the time at what it else looks at now and then."""
    monkeypatch.setattr(log, "KEEP_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(events, "_RECHECK_SECONDS", 0.0)
    monkeypatch.setattr(access, "_REMEMBERED_SECONDS", 0.0)
    with guarded(tmp_path) as service:
        yield service


async def test_what_streams_by_a_key_ends_when_the_key_is_revoked(hasty: Service) -> None:
    hasty.upstream.script(held := Answer(pause_after=2))
    async with database_in(hasty.folder) as database, client_of(hasty.server, hasty.key) as good:
        key, secret = await keys.create_key(database, "watching")
        run_id = (await start(good))["run"]["run_id"]
        async with (
            client_of(hasty.server, secret) as client,
            client.stream("GET", f"/runs/{run_id}/events") as response,
        ):
            sent = aiter(httpx2.EventSource(response))
            assert (await anext(sent)).event == "run.started"
            await keys.revoke_key(database, key.key_id)
            assert "run.completed" not in [event.event async for event in sent]
        held.release()
        assert [event.name for event in await watch(good, run_id)][-1] == "run.completed"
