"""`akashi ledger keys`, as a person calls it, over a store of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.embedded import EmbeddedStore
from storage.home import Home

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    EmbeddedStore(Home(tmp_path / "home").make()).stop()


@pytest.fixture
def akashi(home: Path) -> Run:
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "AKASHI_HOME": str(home),
            "HOME": str(home),
        }
        command = (sys.executable, "-m", "console.main", *argv)
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=home.parent, check=False
        )

    return run


def told(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr + done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_key_is_followed_lost_recovered_and_declared_stolen(
    akashi: Run, home: Path, tmp_path: Path
) -> None:
    keys = ("ledger", "keys")
    log, collector = told(akashi(*keys, "--json"))
    assert (log["role"], log["state"], log["added"], log["here"]) == ("log", "active", 0, True)
    assert (collector["role"], collector["added"]) == ("collector", 1)
    assert log["fingerprint"] == hashlib.sha256(log["vkey"].encode()).hexdigest()

    for argv, said in (
        (("retire", log["vkey"]), "in use"),
        (("retire", "nonsense"), "is no vkey"),
        (("compromised", log["vkey"], "--since", "yesterday"), "--since yesterday"),
        (("compromised", log["vkey"], "--since", "2999-01-01"), "in the future"),
        (("recover", "--with", str(home / "keys" / "log.key")), "is the key of"),
    ):
        refused = akashi(*keys, *argv, "--json")
        assert refused.returncode == 2, refused
        assert said in json.loads(refused.stdout)["detail"]

    out = tmp_path / "recovery.key"
    (recovery,) = told(akashi(*keys, "recovery", "--out", str(out), "--json"))
    assert (recovery["role"], recovery["here"]) == ("recovery", False)
    (new,) = told(akashi(*keys, "rotate", "--role", "collector", "--json"))
    assert (new["role"], new["here"]) == ("collector", True)
    (old,) = told(akashi(*keys, "retire", collector["vkey"], "--json"))
    assert (old["state"], old["ended"]) == ("retired", 5)

    shutil.copy(home / "keys" / "log.key", tmp_path / "stolen.key")
    (home / "keys" / "log.key").unlink()
    lost = akashi(*keys)
    assert lost.returncode == 5
    assert "akashi ledger keys recover" in lost.stderr
    (second,) = told(akashi(*keys, "recover", "--with", str(out), "--json"))
    assert (second["role"], second["state"], second["added"], second["here"]) == ("log", "active", 6, True)
    (stolen,) = told(akashi(*keys, "compromised", log["vkey"], "--since", "2026-01-01", "--json"))
    assert (stolen["state"], stolen["since"]) == ("compromised", "2026-01-01T00:00:00.000Z")

    for_people = akashi(*keys).stdout
    assert f"log        {second['vkey']}\n           active, since entry 6, held here\n" in for_people
    assert "compromised, since entry 0, ended by entry 7, in other hands since 2026-01-01" in for_people
    audited = akashi("audit", "--json")
    assert audited.returncode == 0, audited.stdout
    assert [note for note in told(audited)[-1]["notes"] if "compromised since" in note]
