"""The locks agree with pyproject.toml and with each other, and trust hashes rather than addresses.

Whether they are what `uv` would write now is for `make lock-check`, which asks the registry.
"""

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .source import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUNTIME = (ROOT / "requirements.txt").read_text("utf-8")
DEV = (ROOT / "requirements-dev.txt").read_text("utf-8")


def _pins(lock: str) -> dict[str, set[str]]:
    """Return each package with its pinned versions; there are several where markers say so."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ ;]+)", lock, re.MULTILINE):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    return pins


def _wanted(*lists: list[str]) -> list[Requirement]:
    return [Requirement(line) for lines in lists for line in lines]


WANTED = _wanted(
    PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()
)
WANTED_FOR_DEV = WANTED + _wanted(PROJECT["dependency-groups"]["dev"])


@pytest.mark.parametrize(
    ("lock", "wanted"), [(RUNTIME, WANTED), (DEV, WANTED_FOR_DEV)], ids=["runtime", "dev"]
)
def test_a_lock_pins_what_the_project_wants(lock: str, wanted: list[Requirement]) -> None:
    pins = _pins(lock)
    missed = [
        str(requirement)
        for requirement in wanted
        if not any(
            requirement.specifier.contains(version, prereleases=True)
            for version in pins.get(canonicalize_name(requirement.name), ())
        )
    ]
    assert missed == [], "run `make lock`"


def test_the_dev_lock_holds_all_of_the_runtime_lock() -> None:
    runtime, dev = _pins(RUNTIME), _pins(DEV)
    assert {name: dev.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("lock", [RUNTIME, DEV], ids=["runtime", "dev"])
def test_a_lock_holds_names_versions_and_hashes_alone(lock: str) -> None:
    line = re.compile(
        r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ; [^\\]+)? \\"
        r"|    --hash=sha256:[0-9a-f]{64}( \\)?"
    )
    assert [text for text in lock.splitlines() if not line.fullmatch(text)] == []
