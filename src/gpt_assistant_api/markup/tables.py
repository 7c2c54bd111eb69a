"""Tables that cost what they are long.

A row that is too short is filled up with empty cells. A wide head over many empty rows would make
thousands of cells out of each character, so a table ends where more cells are missing than
characters were written.
"""

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import table

_KEY = "table"


def bound_tables(parser: MarkdownIt) -> None:
    """Replace the parser's rule for tables."""
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    parser.block.ruler.push("short_row", _ends_before, {"alt": ["blockquote"]})


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if not silent:
        head = _line(state, start)
        state.env[_KEY] = (head.count("|"), len(head))
    return table(state, start, end, silent)


def _ends_before(state: StateBlock, line: int, _end: int, silent: bool) -> bool:
    """Tell the table rule, which asks before each row, whether its table ends here."""
    if not silent or state.parentType != "table":
        return False
    columns, spare = state.env[_KEY]
    row = _line(state, line)
    spare += len(row) - max(0, columns - row.count("|"))
    state.env[_KEY] = (columns, spare)
    return bool(spare < 0)


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] : state.eMarks[line]]
