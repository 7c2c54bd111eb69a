"""Whether everything that the settings point to works, and what to do where it does not."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gpt_assistant_api.cli import examinations
from gpt_assistant_api.domain.errors import ConfigurationError, Refusal
from gpt_assistant_api.settings import Settings, load_settings

_SECONDS = 30.0
_EXAMINATIONS: dict[str, Callable[[Settings], Awaitable[str]]] = {
    "Database": examinations.examine_database,
    "Files": examinations.examine_files,
    "Run engine": examinations.examine_engine,
    "Model server": examinations.examine_model_server,
    "Access": examinations.examine_access,
    "Address": examinations.examine_address,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What an examination found."""

    subject: str
    is_well: bool
    text: str


def examine() -> int:
    """Examine everything, print a table, and return the exit status: 0 if all is well."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        findings = [
            Finding("Settings", is_well=False, text=line) for line in str(error).split("; ")
        ]
    else:
        findings = [Finding("Settings", is_well=True, text="Every setting can be used.")]
        findings += asyncio.run(_examine(settings))
    _print(findings)
    return 0 if all(finding.is_well for finding in findings) else 1


async def _examine(settings: Settings) -> list[Finding]:
    found = (_find(subject, look(settings)) for subject, look in _EXAMINATIONS.items())
    return await asyncio.gather(*found)


async def _find(subject: str, examination: Awaitable[str]) -> Finding:
    try:
        async with asyncio.timeout(_SECONDS):
            return Finding(subject, is_well=True, text=await examination)
    except ConfigurationError as error:
        return Finding(subject, is_well=False, text=str(error))
    except Refusal as refusal:
        return Finding(subject, is_well=False, text=f"{refusal.message} ({refusal.code})")
    except TimeoutError:
        return Finding(subject, is_well=False, text=f"No answer within {_SECONDS:.0f} seconds.")
    except Exception as error:
        # Whatever it is, the other examinations are worth seeing. Its text may hold a secret.
        return Finding(subject, is_well=False, text=f"It failed with {type(error).__name__}.")


def _print(findings: list[Finding]) -> None:
    table = Table("What", "State", "Finding")
    for finding in findings:
        state = Text("ok", "green") if finding.is_well else Text("failed", "bold red")
        table.add_row(finding.subject, state, Text(finding.text))
    Console().print(table)
