"""Stores of each kind, which must behave alike."""

from pathlib import Path

import pytest

from gpt_assistant_api.blobs import Blobs, open_blobs
from tests.fixtures.s3 import s3_server, s3_url

__all__ = ["s3_server", "s3_url"]


@pytest.fixture(params=["disk", "memory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """Open an empty store, once of each kind."""
    if request.param == "disk":
        return open_blobs((tmp_path / "made" / "files").as_uri())
    return open_blobs(request.getfixturevalue("s3_url") if request.param == "s3" else "memory:///")
