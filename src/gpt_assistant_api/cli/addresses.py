"""Where a server that listens on HOST and PORT is reached from this machine."""

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what others wrote


def url_of(host: str, port: int) -> str:
    """Return the URL for clients on this machine."""
    host = _EVERYWHERE.get(host.strip("[]"), host.strip("[]"))
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
