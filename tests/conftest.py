"""Fixtures for all tests; they are modules of their own, for the long checks use them too."""

from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.certificates",
    "tests.fixtures.databases",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.postgresql_nodes",
    "tests.fixtures.program",
    "tests.fixtures.redis",
    "tests.fixtures.s3",
]

# How long an example takes depends on the machine, and on what else it does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
