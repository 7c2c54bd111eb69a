"""docs/settings.md and .env.example say what the settings are."""

import re
from pathlib import Path

import pytest

from gpt_assistant_api.settings import Settings

from . import settings_reference


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (settings_reference.DOCUMENT, settings_reference.document()),
        (settings_reference.EXAMPLE, settings_reference.example()),
    ],
    ids=["settings.md", ".env.example"],
)
def test_the_settings_are_documented_as_they_are(path: Path, content: str) -> None:
    assert path.read_text("utf-8") == content, "run `make docs`"


def test_every_setting_is_described_in_whole_sentences() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_every_group_begins_with_a_setting() -> None:
    assert set(settings_reference.GROUPS) <= set(Settings.model_fields)


def test_the_example_sets_the_defaults_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_here = re.sub(r"^#(?=[A-Z_]+=)", "", settings_reference.example(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(set_here, "utf-8")
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    names = re.findall(r"^([A-Z_]+)=", set_here, re.MULTILINE)
    assert [name.lower() for name in names] == list(Settings.model_fields)
    assert Settings().model_dump() == Settings.model_construct().model_dump()
