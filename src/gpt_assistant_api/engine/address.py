"""REDIS_URL: what it may be, and what is added to it."""

from typing import Final
from urllib.parse import parse_qs, urlencode

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
# No `socket_timeout`: blocking reads have a time of their own.
_ADDED: Final = {"socket_connect_timeout": "3"}


def complete(url: str, *, concurrency: int, without_password: bool) -> str:
    """Return the URL that the client takes. Raises ConfigurationError, which never repeats it.

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
