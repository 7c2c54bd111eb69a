"""DATABASE_URL for PostgreSQL: what its hosts and options mean, and how a connection is made.

asyncpg reads most of it. What is added: hosts that are tried one after another within their own
time, passwords with unescaped signs, options that only libpq knows, and `sslrootcert=system`.
"""

import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from gpt_assistant_api.domain.errors import ConfigurationError, UnavailableError

try:
    import asyncpg
except ImportError:
    raise ConfigurationError(
        "DATABASE_URL is for PostgreSQL, which needs: pip install 'gpt-assistant-api[postgres]'."
    ) from None

CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 30.0

# Hosted databases hand out URLs for libpq; what asyncpg does not know, it would have the server
# set, which refuses it. None of them changes what is safe by itself.
_OF_LIBPQ: Final = frozenset(
    {
        *("channel_binding", "client_encoding", "connect_timeout", "connection_limit"),
        *("fallback_application_name", "gssencmode", "keepalives", "keepalives_count"),
        *("keepalives_idle", "keepalives_interval", "load_balance_hosts", "pool_timeout"),
        *("require_auth", "sslcompression", "sslsni", "supa", "tcp_user_timeout"),
    }
)
_FILES: Final = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl"})
_NEXT_HOST: Final = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
)

_Reasons = tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]

_WRONG: Final[_Reasons] = (
    (
        ssl.SSLCertVerificationError,
        "its certificate is not for this host name, or not of the authority in sslrootcert.",
    ),
    (ssl.SSLError, "no TLS connection comes about: see sslmode, sslrootcert, sslcert and sslkey."),
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        "PostgreSQL refuses this user and password, or wants TLS for them (sslmode=require).",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "there is no database of this name. Create it, then run `gpt-assistant-api init-db`.",
    ),
    (
        (asyncpg.UndefinedObjectError, asyncpg.CantChangeRuntimeParamError),
        "PostgreSQL does not know an option behind the question mark.",
    ),
    (
        asyncpg.ProtocolViolationError,
        "the pooler does not know this database or user, or an option behind the question mark.",
    ),
    (
        (asyncpg.ClientConfigurationError, ValueError),
        "a host, a port, an option or one of its files is not what it should be.",
    ),
)
_AWAY: Final[_Reasons] = (
    (socket.gaierror, "the name of the host is not known."),
    (
        (ConnectionRefusedError, FileNotFoundError),
        "nothing listens at this host and port, or at this socket. Is PostgreSQL running?",
    ),
    (
        TimeoutError,
        "no answer came in time. See host and port, and the firewall between.",
    ),
    (
        asyncpg.TargetServerAttributeNotMatched,
        "none of the hosts can be written now (target_session_attrs).",
    ),
    (
        asyncpg.TooManyConnectionsError,
        "PostgreSQL has no connection left. DATABASE_CONNECTIONS says how many a process takes.",
    ),
    (
        (ConnectionError, asyncpg.PostgresConnectionError),
        "the server ends the connection: does it have TLS (sslmode), or want a certificate?",
    ),
    (OSError, "the server cannot be reached."),
)


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """One URL for each host, in order of preference, and what they have in common.

    `cached_statements` is None where the URL does not say how many statements are kept prepared.
    """

    urls: tuple[str, ...] = field(repr=False)
    cached_statements: int | None
    tls: ssl.SSLContext | None

    async def connect(
        self, *, cached_statements: int, command_seconds: float = COMMAND_SECONDS
    ) -> Any:
        """Connect to the first host that answers and is what the URL asks for."""
        for url in self.urls[:-1]:
            with suppress(*_NEXT_HOST):
                return await self._connect(url, cached_statements, command_seconds)
        return await self._connect(self.urls[-1], cached_statements, command_seconds)

    async def _connect(self, url: str, cached_statements: int, command_seconds: float) -> Any:
        return await asyncpg.connect(
            url,
            ssl=self.tls,
            statement_cache_size=cached_statements,
            timeout=CONNECT_SECONDS / len(self.urls),
            command_timeout=command_seconds,
        )


def parse(url: str) -> PostgresAddress:
    """Return what a URL says. Raises ConfigurationError, which never repeats it."""
    rest = url.partition("://")[2]
    end = min((rest.find(sign) for sign in "/?#" if sign in rest), default=len(rest))
    authority, (path, _, query) = rest[:end], rest[end:].partition("?")
    user, _, hosts = authority.rpartition("@")
    if "#" in rest or "@" in path or (user and not hosts and "host=" not in query):
        raise ConfigurationError(
            "DATABASE_URL cannot be read: in the user and the password, write / as %2F, # as %23"
            " and ? as %3F."
        )
    options = dict(parse_qsl(query))
    for name in _OF_LIBPQ & options.keys():
        del options[name]
    pooled = options.pop("pgbouncer", "").lower() in {"1", "true"}
    cached = options.pop("statement_cache_size", "0" if pooled else "")
    if cached and not cached.isdigit():
        raise ConfigurationError("statement_cache_size in DATABASE_URL must be a number.")
    options.setdefault("application_name", "gpt-assistant-api")
    for name in _FILES & options.keys():
        if options[name] != "system" and not os.access(options[name], os.R_OK):
            raise ConfigurationError(f"DATABASE_URL: the file in {name} cannot be read.")
    tls = _system_tls(options) if options.get("sslrootcert") == "system" else None
    places = _places(hosts, options)
    if len(places) > 1:
        options.setdefault("target_session_attrs", "read-write")
    login = f"{_quoted(user)}@" if user else ""
    urls = tuple(
        f"postgresql://{login}{host}{path}?{urlencode(options | place)}" for host, place in places
    )
    return PostgresAddress(urls, int(cached) if cached else None, tls)


def _quoted(user: str) -> str:
    """Quote what was not, such as an @ or a % in a password."""
    return ":".join(quote(unquote(part), safe="") for part in user.split(":", 1))


def _places(hosts: str, options: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return each host as it stands before the path, and as options."""
    if hosts:
        return [(host, {}) for host in hosts.split(",")]
    names = options.pop("host", "").split(",")
    ports = options.pop("port", "").split(",")
    if len(ports) == 1:
        ports *= len(names)
    if len(ports) != len(names):
        raise ConfigurationError("DATABASE_URL names another number of ports than of hosts.")
    return [
        ("", {key: value for key, value in (("host", name), ("port", port)) if value})
        for name, port in zip(names, ports, strict=True)
    ]


def _system_tls(options: dict[str, str]) -> ssl.SSLContext:
    """Return what checks the server against the authorities that this machine trusts."""
    del options["sslrootcert"]
    options["sslmode"] = "verify-full"
    tls = ssl.create_default_context()
    certificate, key = options.pop("sslcert", None), options.pop("sslkey", None)
    if certificate is not None:
        try:
            tls.load_cert_chain(certificate, key)
        except OSError:
            raise ConfigurationError(
                "DATABASE_URL: the files in sslcert and sslkey are no pair."
            ) from None
    return tls


def explained(error: Exception) -> ConfigurationError | UnavailableError | None:
    """Return what to do about a connection that could not be made; None for an unknown reason.

    Some pass by themselves, and for those trying again makes sense.
    """
    for kinds, text in _WRONG:
        if isinstance(error, kinds):
            return ConfigurationError(f"DATABASE_URL: {text}")
    for kinds, text in _AWAY:
        if isinstance(error, kinds):
            return UnavailableError(f"DATABASE_URL: {text}", code="database_unavailable")
    return None
