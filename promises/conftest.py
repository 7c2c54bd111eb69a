"""How long the long checks are, and one seed for all that they leave to chance."""

import random
import secrets
from typing import Any

import pytest

pytest_plugins = [
    "tests.fixtures.certificates",
    "tests.fixtures.databases",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.postgresql_nodes",
    "tests.fixtures.program",
    "tests.fixtures.redis",
    "tests.fixtures.s3",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("promises")
    group.addoption("--full", action="store_true", help="the full length: hours, not minutes")
    group.addoption("--seed", type=int, default=None, help="repeat what was random before")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.option.seed = config.workerinput["seed"]
    elif config.option.seed is None:
        config.option.seed = secrets.randbelow(2**32)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the processes of one run the seed that it printed; its command line may not have it."""
    node.workerinput["seed"] = node.config.option.seed


def pytest_report_header(config: pytest.Config) -> str:
    length = "full" if config.option.full else "short"
    return f"promises: {length} length, --seed {config.option.seed}"


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the full length was asked for."""
    return bool(request.config.option.full)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Return what is random in this test: the same for the same seed, whatever else is run."""
    return random.Random(f"{request.config.option.seed} {request.node.nodeid}")
