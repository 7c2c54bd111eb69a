"""A server that wants credentials, and all that may be shown to it, good and bad."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from gpt_assistant_api.db import Database, open_database
from gpt_assistant_api.services import keys
from tests.model_server import ModelServerSimulation
from tests.server import RunningServer, make_settings, running

SECRET = secrets.token_hex(32)
ISSUER = "https://login.example"
AUDIENCE = "conversations"
ANYBODY = "*"


@dataclass(frozen=True)
class Credential:
    """Headers and a query; `user_id` is whom it speaks for, None nobody, `*` anybody."""

    name: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    user_id: str | None = None
    query: dict[str, str] = field(default_factory=dict)

    @property
    def refusal(self) -> tuple[int, str]:
        """What it gets where somebody must be named."""
        shown = any(name.lower() == "authorization" for name, _ in self.headers)
        return 401, "credentials_invalid" if shown else "credentials_missing"


def make_token(user_id: str = "ada", **changes: Any) -> str:
    """Return a good token of a user, with claims changed, or left out where None."""
    now = int(time.time())
    claims = {"sub": user_id, "iss": ISSUER, "aud": AUDIENCE, "exp": now + 600} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, SECRET, "HS256")


def make_credentials(key: str, revoked: str) -> list[Credential]:
    """Return every kind of credential."""
    return [*_good(key), *_bad_keys(key, revoked), *_misplaced(key), *_bad_tokens()]


def _good(key: str) -> list[Credential]:
    return [
        _bearer("key", key, ANYBODY),
        Credential("lower-case scheme", [("authorization", f"bearer {key}")], ANYBODY),
        _bearer("ada's token", make_token("ada"), "ada"),
        _bearer("bob's token", make_token("bob"), "bob"),
    ]


def _bad_keys(key: str, revoked: str) -> list[Credential]:
    return [
        _bearer("revoked key", revoked),
        _bearer("unknown key", f"gaa_{secrets.token_urlsafe(32)}"),
        _bearer("cut key", key[:-1]),
        _bearer("longer key", f"{key}A"),
        _bearer("upper-case key", key.upper()),
        _bearer("key and more", f"{key} {key}"),
        _bearer("key in quotes", f'"{key}"'),
    ]


def _misplaced(key: str) -> list[Credential]:
    both = [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")]
    return [
        Credential("nothing"),
        Credential("two headers", both),
        Credential("Basic", [("Authorization", f"Basic {key}")]),
        Credential("no scheme", [("Authorization", key)]),
        Credential("empty header", [("Authorization", "")]),
        Credential("empty bearer", [("Authorization", "Bearer")]),
        Credential("key in the query", query={"access_token": key, "api_key": key, "key": key}),
        Credential("key in a cookie", [("Cookie", f"access_token={key}; Authorization={key}")]),
        Credential("key in another header", [("X-API-Key", key)]),
    ]


def _bad_tokens() -> list[Credential]:
    now = int(time.time())
    good = make_token()
    head, claims, signature = good.split(".")
    plain = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "exp": now + 600}
    return [
        _bearer("expired", make_token(exp=now - 60)),
        _bearer("without expiry", make_token(exp=None)),
        _bearer("not yet valid", make_token(nbf=now + 600)),
        _bearer("wrong audience", make_token(aud="other")),
        _bearer("no audience", make_token(aud=None)),
        _bearer("wrong issuer", make_token(iss="https://other.example")),
        _bearer("no subject", make_token(sub=None)),
        _bearer("empty subject", make_token(sub="")),
        _bearer("wrong secret", jwt.encode(plain, secrets.token_hex(32), "HS256")),
        _bearer("another algorithm", jwt.encode(plain, SECRET, "HS512")),
        _bearer("no algorithm", jwt.encode(plain, "", "none")),
        _bearer("no signature", f"{head}.{claims}."),
        _bearer("cut signature", f"{head}.{claims}.{signature[:-4]}"),
        _bearer("other claims", f"{head}.{make_token('bob').split('.')[1]}.{signature}"),
    ]


def _bearer(name: str, credential: str, user_id: str | None = None) -> Credential:
    return Credential(name, [("Authorization", f"Bearer {credential}")], user_id)


@dataclass(frozen=True)
class Service:
    """A running server with its data and model server, and a good and a revoked key of it."""

    server: RunningServer
    folder: Path
    key: str
    revoked: str
    upstream: ModelServerSimulation


@contextmanager
def guarded(folder: Path, **changes: Any) -> Iterator[Service]:
    """Serve with keys and user tokens configured."""
    url = changes.get("database_url") or _sqlite_in(folder)
    good, revoked = asyncio.run(_make_keys(url))
    with ModelServerSimulation() as upstream:
        settings = make_settings(
            folder, openai_base_url=upstream.url, model="sim", model_api="responses",
            jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, **changes,
        )  # fmt: skip
        with running(settings) as server:
            yield Service(server, folder, good, revoked, upstream)


@asynccontextmanager
async def database_in(folder: Path) -> AsyncGenerator[Database, None]:
    """Open a server's database beside it, as the command line does."""
    database = await open_database(_sqlite_in(folder))
    try:
        yield database
    finally:
        await database.close()


def _sqlite_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'assistant.db'}"


async def _make_keys(url: str) -> tuple[str, str]:
    database = await open_database(url)
    try:
        _, good = await keys.create_key(database, "good")
        key, revoked = await keys.create_key(database, "revoked")
        await keys.revoke_key(database, key.key_id)
    finally:
        await database.close()
    return good, revoked
