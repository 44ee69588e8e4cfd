"""Documents that can drift from the code, held against it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from console.ledger import COMMANDS as LEDGER_COMMANDS
from console.main import COMMANDS, akashi
from evidence import reasons
from evidence.entry import ENTRY_TYPES
from storage.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LEDGER = (ROOT / "docs/formats/ledger.md").read_text("utf-8")


@pytest.mark.parametrize("table", ["REFUSALS", "FAILURES", "SHORTCOMINGS"])
def test_every_reason_is_documented_with_its_meaning(table):
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    for code, meaning in getattr(reasons, table).items():
        assert f"| `{code}` | {meaning} |" in text


def test_every_command_is_documented():
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    names = [*COMMANDS, *(f"ledger {name}" for name in LEDGER_COMMANDS)]
    assert [name for name in names if f"`akashi {name}" not in text] == []


def test_every_option_is_documented_or_shared():
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    shared = {"--json", "--help", "--operator"}
    options = {name: set(_options(akashi, name.split())) - shared for name in _leaves(akashi)}
    assert {
        name: left for name, all_ in options.items() if (left := {o for o in all_ if o not in text})
    } == {}


def _leaves(group: click.Group, prefix: str = "") -> list[str]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found += (
            _leaves(command, f"{prefix}{name} ") if isinstance(command, click.Group) else [f"{prefix}{name}"]
        )
    return found


def _options(command: click.Command, path: list[str]) -> list[str]:
    for name in path:
        command = command.get_command(click.Context(command), name)
    return [opt for param in command.params if isinstance(param, click.Option) for opt in param.opts]


def test_every_entry_type_is_documented():
    assert [
        kind for kind in sorted(ENTRY_TYPES) if f"| `{kind}`" not in LEDGER and f", `{kind}`" not in LEDGER
    ] == []


def test_the_example_configuration_names_every_setting_with_its_default():
    example = tomllib.loads((ROOT / "akashi.example.toml").read_text("utf-8"))
    defaults = Settings()
    assert example == {name: getattr(defaults, name) for name in Settings.__slots__ if name != "home"}


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", path.read_text("utf-8")):
            there = path.parent / target if target else path
            assert there.exists(), f"{path.name}: {target}"
            assert not heading or heading in _headings(there), f"{path.name}: {target}#{heading}"


def _headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


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
