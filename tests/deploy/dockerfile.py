"""A Dockerfile as a list of instructions: enough to check ours without an engine."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction of a stage, with its line continuations joined."""

    stage: int
    name: str
    text: str

    @property
    def exec_form(self) -> list[str]:
        """The words of the JSON form, or ValueError where a shell would run it."""
        words: list[str] = json.loads(self.text)
        return words

    @property
    def variables(self) -> dict[str, str]:
        """What ENV, LABEL or ARG sets."""
        pairs = (word.partition("=") for word in shlex.split(self.text))
        return {name: value for name, _, value in pairs}


def instructions(path: Path) -> list[Instruction]:
    """Return all instructions; those before the first FROM belong to stage 0."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[Instruction] = []
    stage = 0
    for line in filter(str.strip, joined.splitlines()):
        name, _, text = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, text.strip()))
    return found
