"""A server for the tests that only talk to one."""

from collections.abc import Iterator

import pytest

from .programs import Server, serving


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded default as a process, in open mode."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server
