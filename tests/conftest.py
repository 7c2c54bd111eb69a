"""Fixtures for all tests; they are modules of their own, for the long checks use them too."""

pytest_plugins = [
    "tests.fixtures.certificates",
    "tests.fixtures.databases",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.postgresql_nodes",
    "tests.fixtures.program",
    "tests.fixtures.redis",
    "tests.fixtures.s3",
]
