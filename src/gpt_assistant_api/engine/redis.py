"""The connection to Redis or Valkey. Imported only where REDIS_URL is set."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.engine.troubles import explained

STORE_SECONDS = 3.0
_SENTINEL_PORT = 26379
_UNANSWERED_SECONDS = 20
# Blocking reads wait longer than any time of the client's own. With the older protocol every
# server gives replies of one shape.
_OPTIONS: dict[str, Any] = {"socket_timeout": None, "protocol": 2, "decode_responses": False}


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any, None]:
    """Return a client of a URL as `complete` returns it; connections are made when they are needed.

    The client's own types fit neither its answers in bytes nor what a stream gives, so it is Any.
    Raises ConfigurationError for a URL that cannot be used.
    """
    try:
        pool = _pool(url)
    except (ValueError, TypeError) as error:
        raise explained(error) or error from None
    if not url.startswith("unix:"):
        _give_up_the_dead(pool)
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.aclose()
        for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
            await sentinel.aclose()


def _pool(url: str) -> ConnectionPool:
    scheme, _, rest = url.partition("://")
    if not scheme.endswith("+sentinel"):
        return ConnectionPool(**{**parse_url(url), **_OPTIONS})
    place, _, query = rest.partition("?")
    netloc, _, path = place.partition("/")
    login, at, hosts = netloc.rpartition("@")
    service, _, database = path.strip("/").partition("/")
    if not service:
        raise ValueError("no service is named")
    options = parse_qs(query, keep_blank_values=True)
    own = {name: options.pop(f"sentinel_{name}", [""])[0] for name in ("username", "password")}
    # The client reads a plain URL, so that every option means what it means without Sentinel.
    plain = f"redis://{login}{at}primary/{database or 0}?{urlencode(options, doseq=True)}"
    primary = {**parse_url(plain), **_OPTIONS}
    encrypted = {"ssl": True} if scheme.startswith("rediss") else {}
    secured = {name: value for name, value in primary.items() if name.startswith("ssl_")}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [_address(host) for host in hosts.split(",")],
        sentinel_kwargs={
            **{name: value for name, value in own.items() if value},
            **(secured if encrypted else {}),
            **encrypted,
        },
    )
    del primary["host"]
    pool: ConnectionPool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        service, sentinel, **primary, **encrypted
    )
    return pool


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host.strip()}")
    if not parts.hostname:
        raise ValueError("a host of Sentinel has no name")
    return parts.hostname, parts.port or _SENTINEL_PORT


def _give_up_the_dead(pool: Any) -> None:
    """Have connections end whose other side has vanished; the system waits a quarter hour for it.

    That is for what was sent and never received; a silence in which nothing is sent is looked into
    by the client's own probes. A Sentinel that is gone is passed over instead of tried ten times.
    """
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
        sentinel.set_retry(Retry(NoBackoff(), 0))
        sentinel.connection_pool.connection_kwargs["socket_connect_timeout"] = 0.5
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        kept = pool.connection_kwargs.get("socket_keepalive_options")
        probes = kept or {
            socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3,
        }  # fmt: skip
        pool.connection_kwargs["socket_keepalive_options"] = {
            **probes,
            socket.TCP_USER_TIMEOUT: _UNANSWERED_SECONDS * 1_000,
        }


@asynccontextmanager
async def answering(
    timeout_seconds: float | None = STORE_SECONDS,
) -> AsyncGenerator[None, None]:
    """Have a time for what is asked of Redis. Raises UnavailableError when it fails or is late."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except (RedisError, OSError) as error:
        raise UnavailableError(
            "The store of the run engine does not answer.", code="runs_unavailable"
        ) from error
