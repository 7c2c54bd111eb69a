"""A chart's templates without Helm: everything optional is there, every value is a word.

Named templates are put in where they are included, at their indentation. What is left is YAML that
shows the structure, and fails to parse where an indentation is wrong.
"""

import re
from pathlib import Path
from typing import Any

import yaml

_DEFINE = re.compile(r'{{- define "([\w.-]+)" -}}\n(.*?)\n{{- end -}}\n', re.DOTALL)
# As they are used in this chart: a line of its own that brings whole lines.
_INCLUDE = re.compile(
    r'^( *){{-? include "([\w.-]+)" [^|]*?(?:\| nindent (\d+) )?}}$', re.MULTILINE
)
_CONTROL = re.compile(r"^ *{{-?\s*(?:if|with|range|else|end|toYaml|\$|/\*).*?}}\n", re.MULTILINE)
_VALUE = re.compile(r"{{.*?}}")


def defined(helpers: str) -> dict[str, str]:
    """Return the named templates of a text."""
    # A definition ends at an `end` of its own; those with more inside give one word anyway.
    return dict(_DEFINE.findall(helpers))


def documents(template: Path, named: dict[str, str]) -> list[dict[str, Any]]:
    """Return the objects that a template describes."""
    text = template.read_text("utf-8")

    def include(found: re.Match[str]) -> str:
        indent = " " * int(found[3] or len(found[1]))
        return "\n".join(indent + line for line in named[found[2]].splitlines())

    while _INCLUDE.search(text):
        text = _INCLUDE.sub(include, text)
    text = _VALUE.sub("value", _CONTROL.sub("", text))
    return [document for document in yaml.safe_load_all(text) if document]
