"""Documents that can drift from the code, held against it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from console.main import COMMANDS
from evidence import reasons
from storage.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("table", ["REFUSALS", "FAILURES", "SHORTCOMINGS"])
def test_every_reason_is_documented_with_its_meaning(table):
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    for code, meaning in getattr(reasons, table).items():
        assert f"| `{code}` | {meaning} |" in text


def test_every_command_is_documented():
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    assert [name for name in COMMANDS if f"akashi {name}" not in text] == []


def test_the_example_configuration_names_every_setting_with_its_default():
    example = tomllib.loads((ROOT / "akashi.example.toml").read_text("utf-8"))
    defaults = Settings()
    assert example == {name: getattr(defaults, name) for name in Settings.__slots__ if name != "home"}


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
