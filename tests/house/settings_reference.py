"""Write docs/settings.md and .env.example from the settings themselves: `make docs`."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any, get_args

from annotated_types import Ge, Le, MaxLen
from pydantic.fields import FieldInfo

from gpt_assistant_api.settings import MIN_SECRET_CHARACTERS, Settings

from .source import ROOT

# Each heading with the first setting under it; the others follow in the order of the code.
GROUPS = {
    "openai_api_key": "Model server",
    "data_dir": "Storage and runs",
    "jwt_secret": "Who may do what",
    "requests_per_minute": "Limits",
    "host": "Server and log",
}
DOCUMENT = ROOT / "docs" / "settings.md"
EXAMPLE = ROOT / ".env.example"

_COMMENT: dict[str, Any] = {
    "initial_indent": "# ", "subsequent_indent": "# ", "break_on_hyphens": False,
}  # fmt: skip
_DOCUMENT_BEGINNING = f"""\
# Settings

<!-- Made by `make docs` from src/gpt_assistant_api/settings.py: change it there. -->

Everything has a default that works on a laptop. A setting is, in this order of precedence:

1. an environment variable of that name, in capitals or not;
2. a line `NAME=value` in the file `.env` of the folder where the program starts;
3. a file of that name, in lower case, in the folder that `SECRETS_DIR` names: what Docker and
   Kubernetes mount as secrets, such as `/run/secrets/openai_api_key`.

An empty value counts as none. A value that cannot be used stops the start with a message that names
the setting and not the value. `gpt-assistant-api doctor` checks all of them and what they point to.

`JWT_SECRET` and `LINK_SECRET` have at least {MIN_SECRET_CHARACTERS} characters and must not
look like an example: make each with `openssl rand -hex 32`.
"""
_EXAMPLE_BEGINNING = """\
# Made by `make docs` from src/gpt_assistant_api/settings.py: change it there.
# Copy this file to .env and set what you need; every line below shows the default.
"""


def document() -> str:
    """Return what docs/settings.md has to be."""
    lines = [_DOCUMENT_BEGINNING.rstrip()]
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            lines += ["", f"## {GROUPS[name]}", "", "| Setting | Default | What it is |"]
            lines.append("|---|---|---|")
        default = _default(field)
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{name.upper()}` | {shown} | {_sentences(field)} |")
    return "\n".join(lines) + "\n"


def example() -> str:
    """Return what .env.example has to be."""
    lines = [_EXAMPLE_BEGINNING.rstrip()]
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            lines += ["", f"## {GROUPS[name]}"]
        lines += ["", *wrap(_sentences(field).replace("`", ""), 98, **_COMMENT)]
        lines.append(f"#{name.upper()}={_quoted(_default(field))}")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if isinstance(field.default, list):
        return ",".join(field.default)
    if isinstance(field.default, Path):
        return field.default.as_posix()
    return "" if field.default is None else str(field.default)


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value


def _sentences(field: FieldInfo) -> str:
    """Return the description, and what the type says about the values."""
    choices = [value for value in get_args(field.annotation) if isinstance(value, str)]
    said = [field.description or "", *_bounds(field)]
    if choices:
        said.append("One of " + ", ".join(f"`{choice}`" for choice in choices) + ".")
    return " ".join(said)


def _bounds(field: FieldInfo) -> Iterator[str]:
    bounds: dict[type, Any] = {type(mark): mark for mark in field.metadata}
    if Ge in bounds and Le in bounds:
        yield f"{bounds[Ge].ge} to {bounds[Le].le}."
    elif Le in bounds:
        yield f"At most {bounds[Le].le}."
    elif Ge in bounds and bounds[Ge].ge > 0:
        yield f"At least {bounds[Ge].ge}."
    if MaxLen in bounds:
        yield f"At most {bounds[MaxLen].max_length} characters."


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
    EXAMPLE.write_text(example(), "utf-8")
