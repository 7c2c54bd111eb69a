"""REDIS_URL: what it may be, what is added to it, and what to do where it does not work."""

import socket
import ssl
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gpt_assistant_api.domain.errors import ConfigurationError

EMBEDDED: Final = "memory://"

_SCHEMES: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
    "redis+sentinel": "redis+sentinel",
    "rediss+sentinel": "rediss+sentinel",
    "valkey+sentinel": "redis+sentinel",
    "valkeys+sentinel": "rediss+sentinel",
}
_LOOPBACK: Final = ("127.", "localhost", "[::1]")
# No `socket_timeout`: with it the client may swallow a cancel, and the library then never ends.
_ADDED: Final = {"socket_connect_timeout": "3"}
_UNANSWERED_SECONDS: Final = 20


def complete(url: str, *, concurrency: int, without_password: bool) -> str:
    """Return the URL that the library takes. Raises ConfigurationError, which never repeats it.

    Whoever can reach that Redis reads and forges answers, so beyond this machine it has a password.
    """
    if url.startswith(EMBEDDED):
        return url
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise ConfigurationError(
            "REDIS_URL must begin with redis:// or rediss:// (TLS), valkey:// or valkeys://,"
            " unix:// or redis+sentinel://. Redis Cluster is not supported: one primary, with"
            " Sentinel beside it, is."
        )
    place, _, query = rest.partition("?")
    login, _, hosts = place.partition("/")[0].rpartition("@")
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    has_password = bool(login.partition(":")[2]) or "password" in options
    is_here = scheme == "unix" or all(host.startswith(_LOOPBACK) for host in hosts.split(","))
    if not (has_password or is_here or without_password):
        raise ConfigurationError(
            "REDIS_URL has no password, and whoever can reach that Redis can read and forge what"
            " users are shown. Write redis://:password@host, or set REDIS_WITHOUT_PASSWORD=true"
            " where nobody else can reach it."
        )
    if "#" in rest or (login and not hosts and scheme != "unix"):
        raise ConfigurationError(
            "REDIS_URL cannot be read: in the user and the password, write / as %2F, # as %23,"
            " ? as %3F and @ as %40."
        )
    # Whoever asks, watches or is counted may want one at the same moment. The client raises when
    # they run out, and keeps only those that were needed at once.
    added = _ADDED | {"max_connections": str(2 * concurrency + 200)}
    return f"{_SCHEMES[scheme]}://{place}?{urlencode(added | options)}"


def _not_understood() -> ConfigurationError:
    return ConfigurationError(
        "REDIS_URL is not understood: redis://user:password@host:6379/0, or"
        " redis+sentinel://:password@host:26379,other:26379/service/0; see its options."
    )


def give_up_the_dead(pool: Any) -> None:
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


def explained(error: Exception) -> ConfigurationError | None:
    """Return what is wrong with the setting; None for what may pass by itself."""
    causes = list(_causes(error))
    if isinstance(error, exceptions.AuthenticationError):
        return ConfigurationError("REDIS_URL: Redis refuses this user and password.")
    if isinstance(error, exceptions.NoPermissionError):
        return ConfigurationError(
            "REDIS_URL: this user may not do what is needed: all commands on its keys and channels."
        )
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return ConfigurationError(
            "REDIS_URL: Redis' certificate is not trusted, or not for this host name;"
            " ssl_ca_certs=FILE names its authority."
        )
    if any(isinstance(cause, (ssl.SSLError, FileNotFoundError)) for cause in causes):
        return ConfigurationError(
            "REDIS_URL: no TLS connection comes about. rediss:// is for a port with TLS; see"
            " ssl_ca_certs, ssl_certfile and ssl_keyfile."
        )
    if isinstance(error, (ValueError, TypeError)):
        return _not_understood()
    return None


def reason(error: Exception) -> str:
    """Return in a few words why Redis cannot be reached; it names no address."""
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "the name of the host is not known"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "nothing listens at this host and port"
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return "no answer came in time; rediss:// is for a port with TLS"
    return type(error).__name__


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
