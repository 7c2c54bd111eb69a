"""Colours for code: Pygments' classes, for the languages that people chat about."""

import re
from typing import Final

# Pygments comes without types.
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped]

MAX_COLOURED_CHARACTERS = 10_000

# Lexers take quadratic time on what nobody writes: endless lines and endless blank lines. The ones
# for C# and Java do so on ordinary words as well; the one for Dart reads these languages too.
_ODD: Final = re.compile(r"[^\n]{301}|(?:\n[ \t]*){20}")
_STAND_INS: Final = {"csharp": "dart", "java": "dart"}

_NAMES: Final = {
    "bash": "sh shell zsh",
    "c": "h",
    "clojure": "clj",
    "console": "shell-session",
    "cpp": "c++ cc cxx hpp",
    "csharp": "c# cs",
    "css": "",
    "dart": "",
    "diff": "patch",
    "docker": "dockerfile",
    "elixir": "ex exs",
    "go": "golang",
    "graphql": "",
    "haskell": "hs",
    "html": "htm",
    "http": "",
    "ini": "cfg",
    "java": "",
    "javascript": "js jsx mjs",
    "json": "jsonc jsonl",
    "julia": "jl",
    "kotlin": "kt",
    "latex": "tex",
    "lua": "",
    "make": "makefile",
    "matlab": "",
    "nginx": "",
    "perl": "pl",
    "php": "",
    "powershell": "ps1 pwsh",
    "pycon": "",
    "python": "py python3",
    "r": "",
    "ruby": "rb",
    "rust": "rs",
    "scala": "",
    "sql": "mysql postgresql sqlite",
    "swift": "",
    "toml": "",
    "typescript": "ts tsx",
    "xml": "svg",
    "yaml": "yml",
}
_LANGUAGES: Final = {
    name: language for language, others in _NAMES.items() for name in (language, *others.split())
}

LANGUAGE_CLASSES: Final = frozenset(f"language-{language}" for language in _NAMES)
# Code that is still being written is full of what a lexer takes for errors: they are not marked.
COLOUR_CLASSES: Final = frozenset(STANDARD_TYPES.values()) - {"", "err"}


def language_of(info: str) -> str:
    """Return the language that a code fence names, or an empty string for an unknown one."""
    words = info.split(maxsplit=1)
    return _LANGUAGES.get(words[0].lower(), "") if words else ""


def coloured(code: str, language: str, _attributes: str) -> str:
    """Return `code` as HTML with a class on each token, or an empty string to leave it plain."""
    if language not in _NAMES or len(code) > MAX_COLOURED_CHARACTERS or _ODD.search(code):
        return ""
    lexer = get_lexer_by_name(_STAND_INS.get(language, language), stripnl=False)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))
