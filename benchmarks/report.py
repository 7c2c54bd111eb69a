"""What was found, as tables; and where they go in the documents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Aim:
    """What is aimed at, and what came of it."""

    scenario: str
    what: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Table:
    """Figures side by side."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Report:
    """What a scenario found."""

    aims: list[Aim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def aim(self, scenario: str, what: str, wanted: str, measured: str, *, met: bool) -> None:
        """Add an aim."""
        self.aims.append(Aim(scenario, what, wanted, measured, met))

    def at_most(
        self, scenario: str, what: str, value: float, limit: float, unit: str = "{:.2f} x"
    ) -> None:
        """Add an aim that is met by a value up to a limit."""
        wanted = f"at most {_short(unit, limit)}"
        self.aim(scenario, what, wanted, unit.format(value), met=value <= limit)

    def add(self, other: "Report") -> None:
        """Take in what another scenario found."""
        self.aims += other.aims
        self.tables += other.tables


def _short(unit: str, limit: float) -> str:
    number, _, name = unit.partition("}")
    return f"{limit:g}{name}" if number.startswith("{") else unit.format(limit)


def aims_table(aims: Iterable[Aim]) -> str:
    """Return the aims as Markdown."""
    rows = [
        [aim.scenario, aim.what, aim.wanted, aim.measured, "met" if aim.met else "**missed**"]
        for aim in aims
    ]
    return markdown(["", "What", "Aim", "Measured", ""], rows)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def short(report: Report, machine: str, command: str) -> str:
    """Return the aims and where they were measured, as Markdown."""
    return f"Made by `{command}` on: {machine}.\n\n{aims_table(report.aims)}"


def whole(report: Report, machine: str, command: str) -> str:
    """Return everything as Markdown."""
    parts = [short(report, machine, command)]
    parts += [f"### {t.title}\n\n{markdown(t.head, t.rows)}" for t in report.tables]
    return "\n".join(parts)


def put(path: Path, text: str) -> None:
    """Put text between the marks in a document."""
    before, begin, rest = path.read_text("utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{path} has no place for figures")
    path.write_text(f"{before}{_BEGIN}\n\n{text}\n{_END}{after}", "utf-8")
