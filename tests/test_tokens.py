import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, tzinfo
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from structlog.testing import capture_logs

from gpt_assistant_api import tokens
from gpt_assistant_api.domain.errors import (
    ConfigurationError,
    UnauthenticatedError,
    UnavailableError,
)
from gpt_assistant_api.tokens import TokenVerifier, open_verifier

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0ffeeddccbbaa99887766554433221100"
ISSUER = "https://issuer.test/"
AUDIENCE = "gpt-assistant-api"
NOW = 1_800_000_000

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time, for the library as for us; a test moves it by hand."""
    clock = SimpleNamespace(now=float(NOW))
    clock.time = clock.monotonic = lambda: clock.now

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Frozen":
            return cls.fromtimestamp(clock.now, tz)

    monkeypatch.setattr("jwt.api_jwt.datetime", Frozen)
    monkeypatch.setattr(tokens, "time", clock)
    return clock


@pytest.fixture
def verifier() -> TokenVerifier:
    return open_verifier(SECRET, None, ISSUER, AUDIENCE)


def make_claims(**changes: Any) -> dict[str, Any]:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 600} | changes
    return {name: value for name, value in claims.items() if value is not ...}


def make_token(**changes: Any) -> str:
    return sign_raw({"alg": "HS256", "typ": "JWT"}, make_claims(**changes))


def sign_raw(header: object, claims: object, secret: str = SECRET) -> str:
    """Sign by hand what the library would refuse to write."""
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    parts = [encode(text.encode()) for text in texts]
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = algorithm.sign(".".join(parts).encode(), secret.encode())
    return ".".join([*parts, encode(signature)])


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def is_refused(verifier: TokenVerifier, token: str) -> bool:
    try:
        await verifier.verify(token)
    except UnauthenticatedError as error:
        refusal = error
    else:
        return False
    assert refusal.code == "credentials_invalid"
    assert refusal.message == "The token is not one that this service accepts."
    assert refusal.details == {}
    return True


async def test_a_current_token_for_this_service_speaks_for_its_subject(
    verifier: TokenVerifier,
) -> None:
    assert await verifier.verify(make_token()) == "ada"
    assert await verifier.verify(make_token(aud=["other", AUDIENCE], sub="Zoë @ work")) == (
        "Zoë @ work"
    )


@pytest.mark.parametrize(
    ("claim", "first", "last"),
    [("exp", -29, None), ("nbf", None, 30), ("iat", None, 30)],
)
async def test_clocks_may_differ_by_thirty_seconds_and_not_by_one_more(
    verifier: TokenVerifier, claim: str, first: int | None, last: int | None
) -> None:
    for seconds in (-31, -30, -29, 0, 29, 30, 31):
        accepted = (first is None or seconds >= first) and (last is None or seconds <= last)
        token = make_token(**{claim: NOW + seconds})
        assert await is_refused(verifier, token) is not accepted, seconds


async def test_the_leeway_ends_within_the_second(
    verifier: TokenVerifier, clock: SimpleNamespace
) -> None:
    token = make_token(exp=NOW)
    clock.now = NOW + 29.999
    assert await verifier.verify(token) == "ada"
    clock.now = NOW + 30.0
    assert await is_refused(verifier, token)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: ...} for name in ("iss", "aud", "sub", "exp")),
        *({name: None} for name in ("iss", "aud", "sub", "exp")),
        *({name: ""} for name in ("iss", "aud", "sub", "exp")),
        {"iss": "https://issuer.test"},
        {"iss": [ISSUER]},
        {"aud": "another-service"},
        {"aud": [AUDIENCE, 7]},
        {"aud": {AUDIENCE: True}},
        {"aud": AUDIENCE + " "},
        {"sub": 7},
        {"sub": ["ada"]},
        {"sub": "a/b"},
        {"sub": " ada"},
        {"sub": ".."},
        {"sub": "a\x00"},
        {"sub": "\ud800"},
        {"sub": "a" * 256},
        {"exp": str(NOW + 600)},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"nbf": "soon"},
        {"nbf": str(NOW)},
        {"nbf": None},
        {"iat": False},
        {"iat": {}},
    ],
    ids=repr,
)
async def test_a_token_with_a_missing_or_odd_claim_is_refused(
    verifier: TokenVerifier, changes: dict[str, Any]
) -> None:
    assert await is_refused(verifier, make_token(**changes))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": ""},
        {"alg": None},
        {"alg": ["HS256"]},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {},
        [],
        "HS256",
        {"alg": "HS256", "crit": ["exp"], "exp": 1},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "crit": ["b64"], "b64": False},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "kid": 7},
    ],
    ids=repr,
)
async def test_a_token_with_another_algorithm_or_a_critical_header_is_refused(
    verifier: TokenVerifier, header: object
) -> None:
    assert await is_refused(verifier, sign_raw(header, make_claims()))


async def test_a_token_that_is_cut_changed_or_no_token_is_refused(verifier: TokenVerifier) -> None:
    token = make_token()
    head, body, signature = token.split(".")
    other_body = make_token(sub="bob").split(".")[1]
    broken = [
        *("", ".", "..", "...", "a.b.c", "é.é.é", "\ud800", "null", "Bearer " + token),
        *(token[:cut] for cut in range(0, len(token), 7)),
        *(f"{head}.{body}", f"{head}.{body}.", f"{head}..{signature}", f".{body}.{signature}"),
        *(f"{head}.{other_body}.{signature}", f"{head}.{body}.{signature}.{signature}"),
        *(token + "A", token + "=", token + "\n", " " + token, token.swapcase()),
        sign_raw({"alg": "HS256"}, make_claims(), secret=SECRET[::-1]),
        sign_raw({"alg": "HS256"}, make_claims(), secret=""),
        sign_raw({"alg": "HS256"}, [make_claims()]),
        sign_raw({"alg": "HS256"}, json.dumps(make_claims()).replace("18", "1" + "8" * 5_000)),
        sign_raw({"alg": "HS256"}, make_claims(more="x" * tokens.MAX_TOKEN_CHARACTERS)),
        ".".join([head, encode(b"[" * 5_000), signature]),
        ".".join([encode(b'{"alg":"none"}'), body, ""]),
    ]
    assert [one for one in broken if not await is_refused(verifier, one)] == []


async def test_a_remembered_token_is_forgotten_with_its_expiry_and_belongs_to_all_its_letters(
    verifier: TokenVerifier, clock: SimpleNamespace
) -> None:
    token = make_token(exp=NOW + 10)
    assert await verifier.verify(token) == "ada"
    assert await verifier.verify(token) == "ada"
    assert await is_refused(verifier, token[:-1])
    assert await is_refused(verifier, token + "=")
    clock.now = NOW + 40.0
    assert await is_refused(verifier, token)


async def test_only_so_many_tokens_are_remembered(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CACHED_TOKENS", 3)
    for user in "abcdefgh":
        assert await verifier.verify(make_token(sub=user)) == user
    assert [user for user, _ in verifier._verified.values()] == ["f", "g", "h"]


@pytest.mark.parametrize(
    ("secret", "url"),
    [(None, None), (SECRET, "https://issuer.test/keys"), (None, "file:///etc/keys"), (None, "")],
)
def test_a_verifier_needs_one_source_of_keys(secret: str | None, url: str | None) -> None:
    with pytest.raises(ConfigurationError, match="JWT_"):
        open_verifier(secret, url, ISSUER, AUDIENCE)


@cache
def private_key(kid: str) -> PrivateKey:
    if kid.startswith("rsa"):
        return rsa.generate_private_key(65_537, 1_024 if kid == "rsa-short" else 2_048)
    if kid.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(kid: str, **changes: Any) -> dict[str, Any]:
    name = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}[kid.partition("-")[0]]
    algorithm: Any = jwt.get_algorithm_by_name(name)
    jwk: dict[str, Any] = algorithm.to_jwk(private_key(kid).public_key(), as_dict=True)
    return jwk | {"kid": kid} | changes


def make_signed(kid: str, algorithm: str, header: dict[str, Any] | None = None, **to: Any) -> str:
    headers = {"kid": kid} | (header or {})
    return jwt.encode(make_claims(**to), private_key(kid), algorithm, headers=headers)


class KeyServer:
    """A real HTTP server that answers with a key set and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.hold = threading.Event()
        self.hold.set()
        self.asking = threading.Event()
        self.serve("rsa-1", "ec-1", "ed-1")
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.asking.set()
                server.hold.wait(10)
                self.send_response(server.status)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self.url = f"{self.address}/keys"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def serve(self, *kids: str) -> None:
        self.body = json.dumps({"keys": [public_jwk(kid) for kid in kids]}).encode()

    def close(self) -> None:
        self.hold.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


@pytest.fixture
def remote(server: KeyServer) -> TokenVerifier:
    return open_verifier(None, server.url, ISSUER, AUDIENCE)


async def test_tokens_are_checked_against_the_keys_at_the_url_fetched_once(
    remote: TokenVerifier, server: KeyServer
) -> None:
    for kid, algorithm in (("rsa-1", "RS256"), ("ec-1", "ES256"), ("ed-1", "EdDSA")):
        assert await remote.verify(make_signed(kid, algorithm, sub=kid)) == kid
    assert server.asked == ["/keys"]


async def test_requests_that_come_together_share_one_fetch(
    remote: TokenVerifier, server: KeyServer
) -> None:
    users = [f"user-{number}" for number in range(20)]
    signed = [make_signed("ed-1", "EdDSA", sub=user) for user in users]
    assert await asyncio.gather(*map(remote.verify, signed)) == users
    assert len(server.asked) == 1


async def test_a_fetch_goes_on_when_the_request_that_began_it_goes_away(
    remote: TokenVerifier, server: KeyServer
) -> None:
    server.hold.clear()
    first = asyncio.create_task(remote.verify(make_signed("ed-1", "EdDSA")))
    await asyncio.to_thread(server.asking.wait, 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.hold.set()
    assert await remote.verify(make_signed("ed-1", "EdDSA")) == "ada"
    assert len(server.asked) == 1


async def test_unknown_keys_do_not_hammer_the_url(
    remote: TokenVerifier, server: KeyServer, clock: SimpleNamespace
) -> None:
    private_key("ed-2")
    for number in range(50):
        header = {"kid": f"unknown-{number}"}
        assert await is_refused(remote, make_signed("ed-2", "EdDSA", header))
    assert len(server.asked) == 1
    clock.now += tokens.REFRESH_PAUSE_SECONDS
    for _ in range(50):
        assert await is_refused(remote, make_signed("ed-2", "EdDSA"))
    assert len(server.asked) == 2


async def test_a_new_key_is_found_after_the_pause(
    remote: TokenVerifier, server: KeyServer, clock: SimpleNamespace
) -> None:
    assert await remote.verify(make_signed("ed-1", "EdDSA")) == "ada"
    server.serve("ed-1", "ed-2")
    assert await is_refused(remote, make_signed("ed-2", "EdDSA"))
    clock.now += tokens.REFRESH_PAUSE_SECONDS
    assert await remote.verify(make_signed("ed-2", "EdDSA")) == "ada"


async def test_a_withdrawn_key_stops_working_when_the_set_is_read_again(
    remote: TokenVerifier, server: KeyServer, clock: SimpleNamespace
) -> None:
    token = make_signed("ed-1", "EdDSA", exp=NOW + 10_000)
    assert await remote.verify(token) == "ada"
    server.serve("ed-2")
    clock.now += tokens.KEYS_SECONDS
    assert await is_refused(remote, token)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("kid", "algorithm", "header"),
    [
        ("ed-2", "EdDSA", {"kid": "ed-1"}),
        ("ed-2", "EdDSA", {"kid": "rsa-1"}),
        ("ed-2", "EdDSA", {"kid": "ed-1", "jwk": public_jwk("ed-2")}),
        ("rsa-1", "RS512", None),
        ("rsa-1", "PS256", None),
    ],
)
async def test_the_key_decides_and_not_the_header(
    remote: TokenVerifier, kid: str, algorithm: str, header: dict[str, Any] | None
) -> None:
    assert await is_refused(remote, make_signed(kid, algorithm, header))


async def test_addresses_in_a_token_are_never_followed(
    remote: TokenVerifier, server: KeyServer
) -> None:
    server.serve("ed-2")
    elsewhere = f"{server.address}/elsewhere"
    header = {"kid": "ed-1", "jku": elsewhere, "x5u": elsewhere}
    assert await is_refused(remote, make_signed("ed-2", "EdDSA", header))
    assert server.asked == ["/keys"]


async def test_tokens_of_the_wrong_kind_or_without_a_key_id_cause_no_request(
    remote: TokenVerifier, server: KeyServer
) -> None:
    no_kid = jwt.encode(make_claims(), private_key("ed-1"), "EdDSA")
    assert await is_refused(remote, make_token())
    assert await is_refused(remote, no_kid)
    assert await is_refused(remote, "no.token.at-all")
    assert server.asked == []


async def test_the_public_key_is_never_a_shared_secret(
    remote: TokenVerifier, server: KeyServer
) -> None:
    shared = {"kty": "oct", "k": encode(SECRET.encode()), "kid": "oct", "alg": "HS256"}
    server.body = json.dumps({"keys": [shared, public_jwk("ed-1")]}).encode()
    assert await is_refused(remote, sign_raw({"alg": "HS256", "kid": "oct"}, make_claims()))
    assert await is_refused(remote, sign_raw({"alg": "EdDSA", "kid": "oct"}, make_claims()))
    assert await is_refused(remote, sign_raw({"alg": "HS256", "kid": "ed-1"}, make_claims()))


async def test_keys_for_encryption_and_short_keys_verify_nothing(
    remote: TokenVerifier, server: KeyServer
) -> None:
    keys = [public_jwk("ed-1", use="enc"), public_jwk("rsa-short"), {"kty": "odd"}, 7]
    server.body = json.dumps({"keys": keys}).encode()
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        short = make_signed("rsa-short", "RS256")
    assert await is_refused(remote, make_signed("ed-1", "EdDSA"))
    assert await is_refused(remote, short)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (404, b'{"keys": []}'),
        (302, b""),
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": 7}'),
        (200, b'{"keys": [{"kty": "RSA", "alg": []}]}'),
        (200, b"[" * 100_000),
        (200, b" " * (tokens.MAX_KEYS_BYTES + 1)),
        (200, b"\xff"),
    ],
)
async def test_while_no_keys_can_be_had_the_service_is_unavailable_and_asks_seldom(
    remote: TokenVerifier, server: KeyServer, clock: SimpleNamespace, status: int, body: bytes
) -> None:
    good = server.body
    server.status, server.body = status, body
    server.headers = {"location": f"{server.address}/elsewhere"}
    token = make_signed("ed-1", "EdDSA")
    with capture_logs() as logs:
        for _ in range(10):
            with pytest.raises(UnavailableError) as refusal:
                await remote.verify(token)
    assert refusal.value.retry_after_seconds == tokens.FAILURE_PAUSE_SECONDS
    assert server.asked == ["/keys"]
    assert [entry["event"] for entry in logs] == ["keys of user tokens not fetched"]

    server.status, server.body = 200, good
    clock.now += tokens.FAILURE_PAUSE_SECONDS
    assert await remote.verify(token) == "ada"


async def test_known_keys_outlive_an_outage_and_unknown_ones_are_not_called_invalid(
    remote: TokenVerifier, server: KeyServer, clock: SimpleNamespace
) -> None:
    assert await remote.verify(make_signed("ed-1", "EdDSA")) == "ada"
    server.status = 503
    clock.now += tokens.REFRESH_PAUSE_SECONDS
    with pytest.raises(UnavailableError):
        await remote.verify(make_signed("ed-2", "EdDSA"))
    assert await remote.verify(make_signed("ed-1", "EdDSA", sub="bob")) == "bob"


async def test_a_silent_key_server_holds_nobody_for_long(
    remote: TokenVerifier, server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "FETCH_SECONDS", 0.05)
    server.hold.clear()
    with pytest.raises(UnavailableError):
        await remote.verify(make_signed("ed-1", "EdDSA"))


async def test_a_server_that_cannot_be_reached_is_an_outage(server: KeyServer) -> None:
    unreachable = open_verifier(None, "http://127.0.0.1:1/keys", ISSUER, AUDIENCE)
    with pytest.raises(UnavailableError):
        await unreachable.verify(make_signed("ed-1", "EdDSA"))
    assert server.asked == []


async def test_the_real_clock_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    verifier = open_verifier(SECRET, None, ISSUER, AUDIENCE)
    assert await verifier.verify(make_token(exp=int(time.time()) + 60)) == "ada"
    assert await is_refused(verifier, make_token(exp=int(time.time()) - 60))
