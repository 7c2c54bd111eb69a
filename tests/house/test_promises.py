"""docs/promises.md names checks that exist, for every promise or a word that there is none yet."""

import ast
import re
from functools import cache

from .source import ROOT

DOCUMENT = (ROOT / "docs" / "promises.md").read_text("utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in DOCUMENT.splitlines()
    if line.startswith("|") and not line.startswith(("| Promise |", "|---"))
]
CHECKS = re.findall(r"`((?:tests|promises)/[\w/]+\.py)::(test_\w+)`", DOCUMENT)


@cache
def _tests_in(path: str) -> set[str]:
    file = ROOT / path
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, functions) and node.name.startswith("test_")
    }


def test_every_promise_has_a_check_and_a_figure_or_says_that_it_is_not_yet_kept() -> None:
    assert ROWS
    assert [row for row in ROWS if not _is_whole(row)] == []


def _is_whole(row: tuple[str, ...]) -> bool:
    if len(row) != 3:
        return False
    promise, check, figure = row
    return bool(promise) and (check.startswith("Not yet kept") or ("::" in check and figure != ""))


def test_every_check_that_is_named_exists() -> None:
    assert [f"{path}::{name}" for path, name in CHECKS if name not in _tests_in(path)] == []
    assert len(CHECKS) == DOCUMENT.count("::"), "one is not written as a test is named"


def test_every_long_check_shows_a_promise() -> None:
    named = {path for path, _ in CHECKS}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "promises").glob("test_*.py")}
    assert files - named == set()
