"""What a forge runs by itself may only read, cannot be changed by others, and audits every day."""

import re
from typing import Any

import pytest
import yaml

from .source import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# `on` without quotes is a truth value in YAML, and the forges know it.
TRIGGERS: Any = True


def _read(name: str) -> dict[Any, Any]:
    read: dict[Any, Any] = yaml.safe_load(
        (ROOT / ".github" / "workflows" / name).read_text("utf-8")
    )
    return read


@pytest.mark.parametrize("name", [file.name for file in FILES])
def test_a_workflow_may_only_read_and_takes_others_actions_by_commit(name: str) -> None:
    workflow = _read(name)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    actions = [step["uses"] for step in steps if "uses" in step]
    assert [action for action in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []
    assert workflow["permissions"] == {"contents": "read"}
    assert [job for job in workflow["jobs"].values() if "permissions" in job] == []
    assert "secrets." not in str(workflow)


def test_what_is_locked_is_audited_every_day() -> None:
    workflow = _read("audit.yml")
    [schedule] = workflow[TRIGGERS]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", schedule["cron"])
    [job] = workflow["jobs"].values()
    assert job["steps"][-1] == {"run": "make audit"}
