"""Documents lead where they say, and nothing names the machine or the registry it was made with."""

import re
from collections.abc import Iterator
from pathlib import Path

from .source import ROOT

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ADDRESS = re.compile(r"^(https?:|mailto:)")
# Put together here, so that this file does not find itself.
_HOSTS = [f"{name}.org" for name in ("pypi", "pythonhosted", "npmjs", "conda.anaconda")]
_HOME = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w")
_NOT_OURS = {"data", "dist", "secrets"}


def _files(suffixes: set[str]) -> Iterator[Path]:
    """Yield files of ours: names with a dot in front are tools' and the operator's, but `.ci`."""
    for top in sorted(ROOT.iterdir()):
        if top.name in _NOT_OURS or (top.name.startswith(".") and top.name != ".ci"):
            continue
        for path in [top, *sorted(top.rglob("*"))]:
            if path.is_file() and path.suffix in suffixes:
                yield path


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in words}


def test_every_link_within_the_documents_leads_somewhere() -> None:
    broken = []
    for document in _files({".md"}):
        for link in _LINK.findall(document.read_text("utf-8")):
            if _ADDRESS.match(link):
                continue
            name, _, anchor = link.partition("#")
            target = (document.parent / name).resolve() if name else document
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                broken.append(f"{document.relative_to(ROOT)}: {link}")
    assert broken == []


def test_nothing_names_a_registry_or_somebodys_home() -> None:
    found = []
    for path in _files({".md", ".py", ".toml", ".txt", ".js", ".css", ".html", ""}):
        text = path.read_text("utf-8")
        found += [f"{path.relative_to(ROOT)}: {host}" for host in _HOSTS if host in text]
        found += [f"{path.relative_to(ROOT)}: {home}" for home in _HOME.findall(text)]
    assert found == []
