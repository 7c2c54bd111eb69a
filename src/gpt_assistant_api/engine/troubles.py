"""What to do where REDIS_URL does not work."""

import socket
import ssl
from collections.abc import Awaitable, Callable

import structlog
from redis import exceptions

from gpt_assistant_api.domain.errors import ConfigurationError, UnavailableError

log = structlog.get_logger(__name__)


async def look_at_store(check: Callable[[], Awaitable[None]]) -> None:
    """Refuse a setting that is wrong; a store that is away may come back, and is waited for.

    Raises ConfigurationError, which never repeats the URL.
    """
    try:
        await check()
    except (UnavailableError, ValueError, TypeError) as failure:
        error = failure.__cause__ if isinstance(failure, UnavailableError) else failure
        assert isinstance(error, Exception), "the log says what it comes from"
        if wrong := explained(error):
            raise wrong from None
        log.warning(
            "REDIS_URL: Redis does not answer; what does not fit one process waits until it does",
            reason=_reason(error),
        )


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


def _reason(error: Exception) -> str:
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


def _not_understood() -> ConfigurationError:
    return ConfigurationError(
        "REDIS_URL is not understood: redis://user:password@host:6379/0, or"
        " redis+sentinel://:password@host:26379,other:26379/service/0; see its options."
    )
