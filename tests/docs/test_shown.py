"""What the documents show and name: golden bytes, commands, options, entry types, headings."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from console.main import akashi
from evidence.entry import ENTRY_TYPES

ROOT = Path(__file__).resolve().parents[2]
CLI = (ROOT / "docs/cli.md").read_text("utf-8")
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


def test_every_entry_type_is_documented():
    assert [
        kind for kind in sorted(ENTRY_TYPES) if not re.search(rf"^\|.*`{kind}`", LEDGER, re.MULTILINE)
    ] == []


def commands(group: click.Group) -> dict[str, click.Command]:
    """Every command below a group, by the words that call it."""
    found = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            found |= {f"{name} {words}": one for words, one in commands(command).items()}
        else:
            found[name] = command
    return found


@pytest.mark.parametrize("words", COMMANDS := commands(akashi))
def test_every_command_and_each_of_its_options_is_documented(words):
    said_of_several = {"--json", "--operator"}
    options = {name for one in COMMANDS[words].params if isinstance(one, click.Option) for name in one.opts}
    assert words.split()[-1] in CLI
    assert {name for name in options - said_of_several if name not in CLI} == set()


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_links_to_a_heading_lead_to_one():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target, heading in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", path.read_text("utf-8")):
            assert heading in headings(path.parent / target if target else path), f"{path.name}: {heading}"
