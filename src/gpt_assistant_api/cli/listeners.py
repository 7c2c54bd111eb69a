"""Taking the address of a server."""

import socket
import sys

from gpt_assistant_api.domain.errors import ConfigurationError

_GONE_AFTER_MS = 60_000
"""After how long a client is gone that confirms nothing of what it is sent, or takes none of it."""


def bind(host: str, port: int) -> socket.socket:
    """Take the address without listening: nobody is to wait for a start that may fail.

    Raises ConfigurationError.
    """
    try:
        # IPv4 first: a name such as localhost has both, and it is what more clients try.
        found = sorted(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # where it means to share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections take it over
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER_MS)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"HOST and PORT: cannot listen on port {port} there ({error.strerror}). Stop what"
            " listens, or choose others by --host and --port."
        ) from None
    return listener
