"""The simulated model server, as a fixture of this folder."""

from collections.abc import Iterator

import pytest

from tests.model_server import ModelServerSimulation


@pytest.fixture
def upstream() -> Iterator[ModelServerSimulation]:
    """A model server on a real socket."""
    with ModelServerSimulation() as server:
        yield server
