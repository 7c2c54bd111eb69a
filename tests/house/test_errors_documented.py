"""Every code that a refusal can have is used, and explained in docs/errors.md."""

import ast
import re
from collections import defaultdict
from typing import get_args

from gpt_assistant_api.api.status import status_of
from gpt_assistant_api.domain import errors

from .source import ROOT, modules

CODES = set(get_args(errors.ErrorCode))
ROWS = re.findall(
    r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$",
    (ROOT / "docs" / "errors.md").read_text("utf-8"),
    re.MULTILINE,
)


def test_every_code_stands_in_the_document_once() -> None:
    assert sorted(code for code, *_ in ROWS) == sorted(CODES)


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    sentence = re.compile(r"[A-Z].*\.")
    for code, status, meaning, remedy in ROWS:
        assert re.fullmatch(r"[2-5]\d\d(, run)?", status), code
        assert sentence.fullmatch(meaning), code
        assert sentence.fullmatch(remedy), code


def test_the_document_gives_the_status_that_the_server_gives() -> None:
    documented = {code: int(status[:3]) for code, status, *_ in ROWS}
    raised = _raised()
    assert raised
    assert raised == {code: {documented[code]} for code in raised}


def test_every_code_is_used() -> None:
    used = {
        node.value
        for module in modules().values()
        for node in ast.walk(_without_the_list(module.tree))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert CODES - used == set()


def _raised() -> dict[str, set[int]]:
    """Return the statuses of the refusals that are made with each code."""
    statuses: dict[str, set[int]] = defaultdict(set)
    for module in modules().values():
        for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
            kind = getattr(errors, ast.unparse(call.func).rpartition(".")[2], None)
            if not (isinstance(kind, type) and issubclass(kind, errors.Refusal)):
                continue
            for keyword in call.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    statuses[str(keyword.value.value)].add(status_of(kind.__new__(kind)))
    return dict(statuses)


def _without_the_list(tree: ast.Module) -> ast.Module:
    """Return a module without the assignment that lists all codes."""
    kept = [node for node in tree.body if not ast.unparse(node).startswith("ErrorCode =")]
    return ast.Module(kept, type_ignores=[])
