"""Which methods a path knows: the framework tells only those of the first route that matches."""

from collections.abc import Mapping
from typing import Any

from starlette.routing import compile_path


class PathMethods:
    """The methods of every path of an OpenAPI document and of the pages beside it."""

    def __init__(self, document: Mapping[str, Any], pages: list[str]) -> None:
        methods = {path: list(operations) for path, operations in document["paths"].items()}
        methods |= {page: ["get"] for page in pages}
        self._paths = [
            (compile_path(path)[0], [name.upper() for name in names])
            for path, names in methods.items()
        ]

    def allowed(self, path: str) -> list[str]:
        """Return the methods that this path knows, for an Allow header."""
        found = {name for regex, names in self._paths if regex.match(path) for name in names}
        return sorted(found)
