"""A server for the tests that only talk to one."""

import signal
from collections.abc import Iterator

import pytest

from .programs import Server, serving

# Where tests run in the background it is ignored, and so it would be in what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded default as a process, in open mode."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server
