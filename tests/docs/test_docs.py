"""Documents that can drift from the code, held against it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
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


RULE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
CHECKERS = [
    *sorted(path.stem for path in (ROOT / "evidence").glob("audit*.py")),
    *(
        "checkpoint",
        "cosignature",
        "custody",
        "dsse",
        "gzip_member",
        "keys",
        "manifest",
        "note",
        "warc_check",
    ),
]
NEVER_REPORTED = {"key", "key-name", "vkey", "key-compromised"}
"""Of keys that entries hold: these are judged with the entry's shape. A compromise is a note."""


def rules_in(module: str) -> Iterator[str]:
    """What is given as `rule=…` to an error, or as a rule to a finding."""
    for node in ast.walk(ast.parse((ROOT / f"evidence/{module}.py").read_text("utf-8"))):
        if isinstance(node, ast.Call):
            named = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = [word.value for word in node.keywords if word.arg == "rule"]
            given += [one for one in node.args if named in {"Finding", "finding", "_find"}]
            constants = [one for value in given for one in [value, *ast.iter_child_nodes(value)]]
            yield from (
                one.value
                for one in constants
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and RULE.fullmatch(one.value)
            )


@pytest.mark.parametrize("module", CHECKERS)
def test_every_rule_that_an_audit_reports_is_documented(module):
    text = (ROOT / "docs/formats/audit.md").read_text("utf-8")
    assert {rule for rule in rules_in(module) if f"`{rule}`" not in text} <= NEVER_REPORTED
