"""The program's source as the house rules look at it: modules, and what they import."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = "gpt_assistant_api"
ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / PACKAGE


@dataclass(frozen=True)
class Import:
    """A module named in an import; `deferred` if it is not imported along with its importer."""

    name: str
    deferred: bool


@dataclass(frozen=True)
class Module:
    """A module by its dotted name without the package's: `db.messages`, `db` for its __init__."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def label(self) -> str:
        """The path as it stands in the repository."""
        return self.path.relative_to(ROOT).as_posix()


@cache
def modules() -> dict[str, Module]:
    """Return every module of the program by its name."""
    found = (_module(path) for path in sorted(SOURCE.rglob("*.py")))
    return {module.name: module for module in found}


def _module(path: Path) -> Module:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, ast.parse(path.read_text("utf-8"), str(path)))


def imports_of(tree: ast.Module, known: set[str]) -> Iterator[Import]:
    """Yield what a module imports, ours without the package's name and with a leading dot.

    `from a import b` means the module `a.b` where it is a module of ours, and `a` where it is not.
    """
    for node, deferred in _nodes(tree, deferred=False):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(_resolve(name, known), deferred)


def _nodes(node: ast.AST, *, deferred: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = deferred or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        inside = inside or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
        yield child, inside
        yield from _nodes(child, deferred=inside)


def _resolve(name: str, known: set[str]) -> str:
    package, _, inner = name.partition(".")
    if package != PACKAGE:
        return name
    while inner and inner not in known:
        inner = inner.rpartition(".")[0]
    return f".{inner}"
