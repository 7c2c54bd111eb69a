"""Bodies: read as what they say they are, letter by letter, or refused."""

import asyncio
import json
import select
import socket
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from structlog.testing import capture_logs

from gpt_assistant_api.api.rest.call import READ_AWAY_BYTES
from tests.api.helpers import assert_problem, png
from tests.server import RunningServer

ODD = "Größe 大小 🌈 ÿ %41 + & ="


@pytest.fixture
def database_url(new_sqlite_url: str) -> str:
    """Bodies are read long before the database matters."""
    return new_sqlite_url


def part(name: str, value: bytes, more: bytes = b"") -> bytes:
    """Return one part of a multipart form with the boundary X."""
    head = f'--X\r\nContent-Disposition: form-data; name="{name}"'.encode()
    return head + more + b"\r\n\r\n" + value + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    """Return a whole form."""
    return b"".join(parts) + b"--X--\r\n"


async def send(client: httpx2.AsyncClient, content_type: str, body: bytes) -> httpx2.Response:
    """Ask with this body."""
    return await client.post("/ask", content=body, headers={"Content-Type": content_type})


def prompt_of(response: httpx2.Response) -> Any:
    """Return the question as it was stored."""
    assert response.status_code == 200, response.text
    return response.json()["user_message"]["content"]


@pytest.mark.parametrize("depth", [3, 255, 300, 1_000, 100_000])
async def test_json_of_any_depth_is_refused_and_no_failure(
    client: httpx2.AsyncClient, depth: int
) -> None:
    body = b'{"user_id": "ada", "prompt": ' + b"[" * depth + b"]" * depth + b"}"
    response = await send(client, "application/json", body)
    assert response.status_code in {400, 422}, response.text


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", '; charset="UTF-8"'])
async def test_text_in_a_form_arrives_letter_by_letter(
    client: httpx2.AsyncClient, charset: str
) -> None:
    whole = multipart(part("user_id", b"ada"), part("prompt", ODD.encode()))
    sent = await send(client, f"multipart/form-data; boundary=X{charset}", whole)
    assert prompt_of(sent) == ODD
    escaped = httpx2.QueryParams({"user_id": "ada", "prompt": ODD})
    sent = await send(client, f"application/x-www-form-urlencoded{charset}", str(escaped).encode())
    assert prompt_of(sent) == ODD
    # As `curl -d` sends it.
    plain = "user_id=ada&prompt=Größe 大小"
    sent = await send(client, f"application/x-www-form-urlencoded{charset}", plain.encode())
    assert prompt_of(sent) == "Größe 大小"


@pytest.mark.parametrize(
    "charset",
    ["latin-1", "utf-7", "unicode_escape", "punycode", "undefined", "idna", "rot13", "nonsense"],
)
@pytest.mark.parametrize(
    "media_type", ["multipart/form-data; boundary=X", "application/x-www-form-urlencoded"]
)
async def test_a_form_in_another_encoding_is_refused(
    client: httpx2.AsyncClient, media_type: str, charset: str
) -> None:
    body = multipart(part("user_id", b"ada"), part("prompt", rb"\ud800"))
    response = await send(client, f"{media_type}; charset={charset}", body)
    assert_problem(response, 415, "media_type_unsupported")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"user_id": "ada", "prompt": "\xff"}'),
        ("application/json", b'{"user_id": "ada", "prompt": "\\ud800"}'),
        ("application/x-www-form-urlencoded", b"user_id=ada&prompt=%ff"),
        ("application/x-www-form-urlencoded", b"user_id=ada&prompt=\xff"),
        ("application/x-www-form-urlencoded", b"user_id=ada&prompt=%ed%a0%80"),
        ("application/x-www-form-urlencoded", b"a=&" * 65),
        ("application/x-www-form-urlencoded", b"prompt=" + b"x" * 3_200_000),
        (
            "multipart/form-data; boundary=X",
            multipart(part("user_id", b"ada"), part("prompt", b"\xff")),
        ),
        ("multipart/form-data; boundary=X", multipart(part("prompt", b"x" * 800_001))),
        ("multipart/form-data; boundary=X", multipart(*[part("a", b"")] * 65)),
        ("multipart/form-data; boundary=X", b"--Y\r\n"),
        ("multipart/form-data; boundary=X", b"--X\r\n\r\nno name\r\n--X--\r\n"),
        ("multipart/form-data", multipart(part("prompt", b"x"))),
    ],
)
async def test_what_is_no_text_or_no_form_is_malformed(
    client: httpx2.AsyncClient, content_type: str, body: bytes
) -> None:
    assert_problem(await send(client, content_type, body), 400, "body_malformed")


async def test_a_prompt_of_the_greatest_length_fits_every_kind_of_body(
    client: httpx2.AsyncClient,
) -> None:
    longest = "𝄞" * 200_000
    as_json = await client.post("/ask", json={"user_id": "ada", "prompt": longest})
    urlencoded = await client.post("/ask", data={"user_id": "ada", "prompt": longest})
    in_parts = await send(
        client,
        "multipart/form-data; boundary=X",
        multipart(part("user_id", b"ada"), part("prompt", longest.encode())),
    )
    for response in (as_json, urlencoded, in_parts):
        assert prompt_of(response) == longest


async def test_a_file_name_that_is_no_text_does_not_cost_the_file(
    client: httpx2.AsyncClient,
) -> None:
    parts = part("user_id", b"ada"), part("file", png(), b'; filename="gr\xfcn.png"')
    sent = await send(client, "multipart/form-data; boundary=X", multipart(*parts))
    assert sent.status_code == 200, sent.text
    [file] = sent.json()["user_message"]["files"]
    assert file["filename"] == "gr\ufffdn.png"


@pytest.mark.parametrize("path", ["/regenerate", "/threads/ada/{thread_id}"])
async def test_a_file_is_refused_where_none_can_be_sent(
    client: httpx2.AsyncClient, path: str
) -> None:
    asked = await client.post("/ask", json={"user_id": "ada", "prompt": "Hello?"})
    thread_id = asked.json()["thread_id"]
    response = await client.request(
        "POST" if path == "/regenerate" else "PATCH",
        path.format(thread_id=thread_id),
        data={"thread_id": thread_id},
        files={"file": ("a.png", png(), "image/png")},
    )
    problem = assert_problem(response, 422, "invalid_request")
    assert problem["errors"][0]["field"] == "file"


async def test_a_form_changes_a_thread_as_json_does(client: httpx2.AsyncClient) -> None:
    asked = await client.post("/ask", json={"user_id": "ada", "prompt": "Hello?"})
    path = f"/threads/ada/{asked.json()['thread_id']}"
    for content_type, body in (
        ("application/json", json.dumps({"title": "Größe"}).encode()),
        ("application/x-www-form-urlencoded", "title=Größe".encode()),
        ("multipart/form-data; boundary=X", multipart(part("title", "Größe".encode()))),
    ):
        response = await client.patch(path, content=body, headers={"Content-Type": content_type})
        assert response.status_code == 200, response.text
        assert response.json()["title"] == "Größe"


async def test_an_empty_field_of_a_form_is_one_that_is_left_out_and_described_so(
    client: httpx2.AsyncClient,
) -> None:
    asked = await client.post("/ask", json={"user_id": "ada", "prompt": "Hello?"})
    path = f"/threads/ada/{asked.json()['thread_id']}"
    assert (await client.patch(path, json={"title": ""})).status_code == 422
    assert (await client.patch(path, data={"title": ""})).json()["title"] == "Hello?"
    operation = (await client.get("/openapi.json")).json()["paths"][
        "/threads/{user_id}/{thread_id}"
    ]["patch"]
    for media_type, content in operation["requestBody"]["content"].items():
        validator = jsonschema_rs.validator_for(content["schema"])
        assert validator.is_valid({"title": ""}) == (media_type != "application/json")
        assert all(validator.is_valid({"title": good}) for good in ("Hello!", " a\nb "))
        assert not any(validator.is_valid({"title": bad}) for bad in (" ", "\n", "a\0b"))


async def test_a_compressed_body_is_refused(client: httpx2.AsyncClient) -> None:
    body = {"user_id": "ada", "prompt": "Hello?"}
    response = await client.post("/ask", json=body, headers={"Content-Encoding": "gzip"})
    assert_problem(response, 415, "media_type_unsupported")
    plain = await client.post("/ask", json=body, headers={"Content-Encoding": "identity"})
    assert plain.status_code == 200


async def test_a_body_a_little_too_large_is_refused_once_it_is_sent(
    client: httpx2.AsyncClient, server: RunningServer
) -> None:
    body = bytes(server.settings.max_upload_bytes + READ_AWAY_BYTES)
    with _connected(server) as sender:
        sender.sendall(_head(server, len(body)) + body[:-1])
        # Whatever is answered early would be there when others have been answered.
        for _ in range(5):
            assert (await client.get("/healthz")).status_code == 200
        assert select.select([sender], [], [], 0)[0] == []
        sender.sendall(body[-1:])
        assert b"413" in sender.recv(64)


@pytest.mark.parametrize(
    ("more", "header"), [(1, "Expect: 100-continue\r\n"), (READ_AWAY_BYTES + 1, "")]
)
def test_a_body_too_large_is_refused_before_it_is_sent(
    server: RunningServer, more: int, header: str
) -> None:
    with _connected(server) as sender:
        sender.sendall(_head(server, server.settings.max_upload_bytes + more, header))
        assert b"413" in sender.recv(64)


def _connected(server: RunningServer) -> socket.socket:
    url = httpx2.URL(server.url)
    return socket.create_connection((url.host, url.port or 0), timeout=20)


def _head(server: RunningServer, length: int, more: str = "") -> bytes:
    host = httpx2.URL(server.url).netloc.decode()
    return (
        f"POST /upload-file HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{more}"
        "Content-Type: multipart/form-data; boundary=X\r\n\r\n"
    ).encode()


async def test_whoever_hangs_up_within_a_body_is_no_failure(server: RunningServer) -> None:
    url = httpx2.URL(server.url)
    head = f"POST /ask HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nContent-Length: 100\r\n"
    with capture_logs() as lines:
        for content_type in ("application/json", "multipart/form-data; boundary=X"):
            with socket.create_connection((url.host, url.port or 0)) as client:
                client.sendall(f"{head}Content-Type: {content_type}\r\n\r\n--X".encode())
        async with asyncio.timeout(20):
            while len(lines) < 2:  # noqa: ASYNC110 - lines come from the server's thread
                await asyncio.sleep(0.01)
    assert [(line["event"], line["status"]) for line in lines] == [("request", 400)] * 2


async def test_json_of_very_many_fields_is_refused_as_a_whole(client: httpx2.AsyncClient) -> None:
    body = {"user_id": "ada", "prompt": "Hello?"} | {str(number): 1 for number in range(100_000)}
    problem = assert_problem(await client.post("/ask", json=body), 400, "body_malformed")
    assert "errors" not in problem
    many = {"user_id": "ada", "prompt": "Hello?", "file_ids": [1] * 10_000}
    problem = assert_problem(await client.post("/ask", json=many), 422, "invalid_request")
    assert len(problem["errors"]) == 1


@pytest.mark.parametrize("piece", [b"[]", b"1e3", b'""', b'"\\""', b"{}", b"["])
async def test_json_of_very_many_pieces_is_refused_before_they_are_made(
    client: httpx2.AsyncClient, piece: bytes
) -> None:
    many = b",".join([piece] * (1_000_000 // len(piece)))
    body = b'{"user_id": "ada", "prompt": "Hello?", "file_ids": [' + many + b"]}"
    assert_problem(await send(client, "application/json", body), 400, "body_malformed")


@pytest.mark.parametrize("prompt", ["\U0001f30d", "\\", '"', "a,b[{}]", "\n"])
async def test_the_longest_prompt_arrives_whatever_it_is_made_of(
    client: httpx2.AsyncClient, prompt: str
) -> None:
    longest = (prompt * 200_000)[:200_000]
    body = json.dumps({"user_id": "ada", "prompt": f"x{longest[2:]}x"}).encode()
    assert prompt_of(await send(client, "application/json", body)) == f"x{longest[2:]}x"
    sent = await client.post("/ask", data={"user_id": "ada", "prompt": f"x{longest[2:]}x"})
    assert prompt_of(sent) == f"x{longest[2:]}x"
