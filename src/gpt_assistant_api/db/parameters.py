"""From `:name` parameters to what a driver takes: `?` for SQLite, `$1` for PostgreSQL."""

import re
from functools import lru_cache
from typing import Any

from gpt_assistant_api.db.database import Dialect

_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*'            # a text
    | "(?:[^"]|"")*"            # a quoted name
    | --[^\n]* | /\*.*?\*/      # a comment
    | ::                        # a cast of PostgreSQL
    | :(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)

_LISTS = frozenset({list, tuple})
_Lengths = tuple[tuple[str, int], ...]


def bind(dialect: Dialect, sql: str, params: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return the statement in the driver's form and its arguments in order.

    A list or tuple becomes as many parameters in brackets; an empty one `(NULL)`, which is in
    nothing. Raises KeyError for a name without a value.
    """
    if not _LISTS.intersection(map(type, params.values())):  # as nearly always
        text, names = _translate(dialect, sql, ())
        return text, [params[name] for name in names]
    lengths = tuple((name, len(value)) for name, value in params.items() if type(value) in _LISTS)
    text, names = _translate(dialect, sql, lengths)
    lists = {name for name, _ in lengths}
    arguments: list[Any] = []
    for name in names:
        if name in lists:
            arguments.extend(params[name])
        else:
            arguments.append(params[name])
    return text, arguments


@lru_cache(maxsize=2048)
def _translate(dialect: Dialect, sql: str, lengths: _Lengths) -> tuple[str, tuple[str, ...]]:
    length_of = dict(lengths)
    names: list[str] = []
    count = 0

    def placeholder() -> str:
        nonlocal count
        count += 1
        return "?" if dialect == "sqlite" else f"${count}"

    def replace(token: re.Match[str]) -> str:
        name = token["name"]
        if name is None:
            return token[0]
        names.append(name)
        if name not in length_of:
            return placeholder()
        return f"({', '.join(placeholder() for _ in range(length_of[name])) or 'NULL'})"

    return _TOKEN.sub(replace, sql), tuple(names)
