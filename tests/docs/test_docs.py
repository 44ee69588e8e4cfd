"""Documents that can drift from the code, held against it."""

from __future__ import annotations

import re
import subprocess
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


LEDGER = (ROOT / "docs/formats/ledger.md").read_text("utf-8")
SHOWN = [
    (command, output)
    for block in re.findall(r"^```console\n(.*?)^```$", LEDGER, re.MULTILINE | re.DOTALL)
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=range(len(SHOWN)))
def test_the_bytes_that_the_ledgers_formats_show_are_those_of_the_golden_files(command, output):
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT / "tests/vectors", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.rstrip() for line in done.stdout.splitlines()] == output.splitlines()


def test_every_format_of_the_ledger_is_shown():
    formats = ("entry", "segment", "keys", "checkpoint", "tile", "tlog-proof", "cosignature", "policy")
    assert [name for name in formats if not any(f"{name}/" in command for command, _ in SHOWN)] == []
