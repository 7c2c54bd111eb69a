"""The map: imports run down and never sideways, and every library keeps to its place."""

import ast
import sys
from collections.abc import Iterator

import pytest

from .source import Import, imports_of, modules

# From top to bottom; what stands on one line does not know its neighbours.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"app"},
    {"api.rest", "api.openai", "api.chat", "worker"},
    {"api"},  # what the faces share
    {"runtime"},
    {"services"},
    {
        *("archive", "blobs", "db", "engine", "images", "limits", "llm"),
        *("logs", "markup", "settings", "telemetry", "tokens"),
    },
    {"domain"},
)
RANKS = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

# Where a library may be imported: a part, or one module of it.
_ABOVE_RUNTIME = {"api", "app", "cli"}
PLACES = {
    "PIL": {"images", "llm.colours"},
    "aiohttp": {"cli.client", "llm"},
    "alembic": {"db.migrate", "db.migrations"},
    "anyio": {"blobs", "images", "tokens"},
    "asyncpg": {"db"},
    "fastapi": _ABOVE_RUNTIME,
    "jwt": {"tokens"},
    "limits": {"limits"},
    "markdown_it": {"markup"},
    "msgspec": {"engine", "llm"},
    "nh3": {"markup"},
    "obstore": {"blobs"},
    "opentelemetry": {"logs", "telemetry"},
    "orjson": {"api", "logs"},
    "prometheus_client": {"telemetry"},
    "pydantic": {"api", "settings"},
    "pydantic_settings": {"settings"},
    "pygments": {"markup"},
    "redis": {"engine"},
    "rich": {"cli"},
    "sqlalchemy": {"db.tables", "db.migrate", "db.migrations"},
    "sqlite3": {"db"},
    "starlette": _ABOVE_RUNTIME,
    "stream_zip": {"archive"},
    "structlog": {
        *("api", "app", "cli", "engine", "limits", "llm", "logs", "services", "telemetry"),
        *("tokens", "worker"),
    },
    "typer": {"cli"},
    "uvicorn": {"cli"},
    "yarl": {"llm"},
}


def part_of(name: str) -> str:
    """Return the part of the map that a module belongs to; a service is a part of its own."""
    first, _, rest = name.partition(".")
    second = f"{first}.{rest.partition('.')[0]}"
    return second if second in RANKS or (first == "services" and rest) else first


def violation(importer: str, imported: Import) -> str | None:
    """Return what is wrong with an import, or None."""
    if imported.name.startswith("."):
        return _wrong_direction(importer, imported.name[1:])
    library = imported.name.partition(".")[0]
    if library not in PLACES:
        known = library in sys.stdlib_module_names
        return None if known else f"{importer}: {library} has no place in PLACES"
    if any(f"{importer}.".startswith(f"{place}.") for place in PLACES[library]):
        return None
    return f"{importer}: {library} belongs in {', '.join(sorted(PLACES[library]))}"


def _wrong_direction(importer: str, imported: str) -> str | None:
    above, below = part_of(importer), part_of(imported)
    if not importer or not imported or above == below:
        return None
    if below == "settings" and above not in {"app", "cli"}:
        return f"{importer}: only app.py and cli/ read the settings"
    if _rank(above) < _rank(below):
        return None
    return f"{importer}: {imported} is not below it"


def _rank(part: str) -> int:
    return RANKS[part if part in RANKS else part.partition(".")[0]]


def violations_of(importer: str, tree: ast.Module) -> list[str]:
    """Return what is wrong with the imports of a module."""
    known = set(modules())
    found = (violation(importer, imported) for imported in imports_of(tree, known))
    return [wrong for wrong in found if wrong]


def cycles(imports: dict[str, set[str]]) -> Iterator[list[str]]:
    """Yield a way round for every module that is reached again from itself."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> Iterator[list[str]]:
        if name in way:
            yield [*way[way.index(name) :], name]
        elif name not in done:
            for following in sorted(imports.get(name, ())):
                yield from follow(following, [*way, name])
            done.add(name)

    for name in sorted(imports):
        yield from follow(name, [])


def test_every_module_is_on_the_map() -> None:
    off = {part_of(name) for name in modules() if name} - set(RANKS)
    assert {part for part in off if not part.startswith("services.")} == set()


def test_imports_run_down_and_libraries_keep_to_their_place() -> None:
    wrong = [
        line for module in modules().values() for line in violations_of(module.name, module.tree)
    ]
    assert wrong == []


def test_no_module_imports_itself_by_a_detour() -> None:
    known = set(modules())
    imports = {
        module.name: {
            imported.name[1:]
            for imported in imports_of(module.tree, known)
            if imported.name.startswith(".") and not imported.deferred
        }
        for module in modules().values()
    }
    assert list(cycles(imports)) == []


def test_the_domain_uses_the_standard_library_alone() -> None:
    assert not [library for library, places in PLACES.items() if "domain" in places]


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("domain.runs", "from gpt_assistant_api.db import runs"),
        ("domain.runs", "import msgspec"),
        ("db.runs", "from gpt_assistant_api.services.runs import get_run"),
        ("db.runs", "from gpt_assistant_api import engine"),
        ("services.runs", "from gpt_assistant_api.services import asks"),
        ("services.runs", "import gpt_assistant_api.api.status"),
        ("services.runs", "from fastapi import Request"),
        ("services.runs", "import sqlite3"),
        ("worker", "from gpt_assistant_api.api import rest"),
        ("api.rest.runs", "from gpt_assistant_api.worker import executor"),
        ("api.status", "from gpt_assistant_api.api.rest import problems"),
        ("llm.http", "from gpt_assistant_api.settings import load_settings"),
        ("api.rest.asks", "def ask():\n    from gpt_assistant_api.app import create_app"),
        ("limits", "from gpt_assistant_api.tokens import open_verifier"),
        ("app", "import a_library_that_nobody_placed"),
    ],
)
def test_a_planted_violation_is_found(importer: str, line: str) -> None:
    assert len(violations_of(importer, ast.parse(line))) == 1


def test_a_planted_cycle_is_found() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert list(cycles(imports)) == [["b", "c", "b"]]
