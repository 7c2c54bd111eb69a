"""A file has one subject and a function fits a screen, unless there is a reason."""

import ast
from collections.abc import Iterator

from .source import modules

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# What may be longer, `path` or `path function`, and why it reads better in one piece.
LONGER: dict[str, str] = {}


def _too_long() -> Iterator[str]:
    for module in modules().values():
        if len(module.path.read_text("utf-8").splitlines()) > MAX_FILE_LINES:
            yield module.label
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno >= MAX_FUNCTION_LINES:
                    yield f"{module.label} {node.name}"


def test_files_and_functions_are_short_or_have_a_reason() -> None:
    assert set(_too_long()) == set(LONGER)
