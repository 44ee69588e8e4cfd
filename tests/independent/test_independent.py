"""Strangers' programs check Akashi's proofs: whole ones pass, and whoever claims to see a fault does see it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from evidence.identifiers import new_ulid
from storage.archive import Archive
from storage.embedded import EmbeddedStore
from storage.home import Home
from storage.settings import Settings
from tests.independent.exhibits import (
    TAMPERED,
    Authority,
    Exhibit,
    entries_of,
    exhibit,
    flipped,
    leaf,
    path,
    read_exhibit,
    root,
)
from tests.storage.samples import REQUEST, kill_server

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "independent"
BUILD = ROOT / "build" / "independent"
SCRIPT = ROOT / "docs" / "verify.sh"
CHECKERS = {
    "verify.sh": [str(SCRIPT)],
    "go": [str(BUILD / "check-go")],
    "npm": ["node", str(HERE / "check.cjs")],
    "pymerkle": [str(BUILD / "venv/bin/python"), "-I", str(HERE / "check_pymerkle.py")],
}
TOOLS = [*CHECKERS, "openssl-ts"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def entries() -> list[bytes]:
    return entries_of(300)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A real one over a real store, with some entries more than it begins with."""
    opened = Archive.open(Settings(home=Home(tmp_path_factory.mktemp("home"))))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: opened.ledger.append("capture.started", new_ulid(), REQUEST), range(60)))
    yield opened
    opened.ledger.close()
    opened.catalogue.close()
    kill_server(EmbeddedStore(opened.settings.home))


@pytest.fixture(scope="module")
def proved(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Exhibit:
    """Entry 37 as `akashi ledger prove` hands it out."""
    folder = tmp_path_factory.mktemp("proved")
    command = [str(Path(sys.executable).parent / "akashi"), "ledger", "prove", "37", "--to", str(folder)]
    environment = {**os.environ, "AKASHI_HOME": str(archive.settings.home.root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read_exhibit(folder, archive.keyring.log.vkey)


@pytest.fixture(scope="module")
def whole(proved: Exhibit, authority: Authority) -> Exhibit:
    """The same, with a timestamp of its checkpoint."""
    query, token = authority.stamp(proved.checkpoint)
    return replace(proved, query=query, token=token)


def test_the_path_is_the_one_that_the_rfcs_recursion_gives(archive: Archive, proved: Exhibit) -> None:
    leaves = [leaf(archive.ledger.entry_bytes(index)) for index in range(archive.ledger.size)]
    assert list(proved.path) == path(37, leaves)
    assert base64.b64encode(root(leaves)).decode() == proved.checkpoint.decode().split("\n")[2]


Ask = Callable[[str, Exhibit], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ask(tmp_path: Path, authority: Authority) -> Ask:
    """Let one of TOOLS check an exhibit."""

    def run(tool: str, shown: Exhibit) -> subprocess.CompletedProcess[str]:
        command = [*CHECKERS.get(tool, ()), *shown.write(tmp_path)]
        if tool == "openssl-ts":
            command = [
                "openssl",
                "ts",
                "-verify",
                "-in",
                str(tmp_path / "checkpoint.tsr"),
                "-CAfile",
                str(authority.root),
            ]
            command += ["-data", str(tmp_path / "checkpoint")]
        modules = {"SIGSTORE": str(BUILD / "node" / "node_modules")}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **modules}, check=False
        )

    return run


@pytest.mark.parametrize("tool", TOOLS)
def test_a_whole_proof_passes(ask: Ask, tool: str, whole: Exhibit) -> None:
    done = ask(tool, whole)
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stdout + done.stderr  # openssl tells it on either


@pytest.mark.parametrize("tool", CHECKERS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 300])
def test_a_proof_of_every_shape_passes(ask: Ask, tool: str, entries: list[bytes], size: int) -> None:
    for index in sorted({0, size // 2, size - 1}):
        done = ask(tool, exhibit(index, entries[:size]))
        assert (done.returncode, done.stdout) == (0, f"OK entry {index} of {size}\n"), done.stderr


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("fault", TAMPERED)
def test_who_claims_to_see_a_fault_sees_it(ask: Ask, tool: str, fault: str, whole: Exhibit) -> None:
    tamper, seen_by = TAMPERED[fault]
    tampered = tamper(whole)
    assert tampered != whole
    done = ask(tool, tampered)
    assert done.returncode == (1 if tool in seen_by else 0), done.stdout + done.stderr
    if tool in CHECKERS and tool in seen_by:
        assert "FAIL" in done.stderr


def test_every_byte_of_a_proof_and_its_entry_counts_for_the_script(ask: Ask, entries: list[bytes]) -> None:
    made = exhibit(4, entries[:7])
    proof = made.proof()
    signature = proof.index("— ".encode())
    for position in range(0, signature, 3):
        other = flipped(proof, position)
        assert ask("verify.sh", replace(made, altered=other)).returncode == 1, other


def test_the_script_is_at_most_30_lines_of_what_every_system_has() -> None:
    text = SCRIPT.read_text("utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert len(text.splitlines()) <= 30
    assert not {"python", "perl", "awk", "sed", "jq", "xxd", "curl"} & set(text.split())
