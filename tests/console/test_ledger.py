"""`akashi ledger checkpoint|prove|log` over a real store, and what they write checked without us."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console.main import akashi
from evidence.checkpoint import checkpoint_key, parse_checkpoint
from evidence.digests import digest_bytes
from evidence.entry import Entry, chain
from evidence.errors import AkashiError, LedgerUnavailableError, UsageError
from evidence.identifiers import new_ulid
from evidence.tlog_proof import TlogProof
from storage.archive import Archive
from storage.embedded import EmbeddedStore
from storage.settings import Settings
from tests.storage.samples import REQUEST, kill_server

CAPTURE = new_ulid()
OPEN = new_ulid()
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A log of 6 entries: the three that it begins with, a capture that failed, one under way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AKASHI_HOME", str(tmp_path_factory.mktemp("home")))
        archive = Archive.open()
        started = archive.ledger.append("capture.started", CAPTURE, REQUEST).index
        nothing = {"outcome": "failed", "reasons": ["interrupted"], "objects": [], "signature": None}
        archive.ledger.append("capture.failed", CAPTURE, {"started": started, **nothing})
        archive.ledger.append("capture.started", OPEN, REQUEST)
        yield archive
        kill_server(EmbeddedStore(Settings.load().home))


@pytest.fixture
def run(archive: Archive) -> Run:
    def invoke(*argv: str | Path, fails: type[AkashiError] | None = None) -> Result:
        result = CliRunner().invoke(akashi, ["ledger", *map(str, argv)], standalone_mode=False)
        if fails is None:
            assert result.exception is None, result.exception
        else:
            assert isinstance(result.exception, fails), result.output
        return result

    return invoke


def test_a_checkpoint_is_printed_as_it_is_stored(archive: Archive, run: Run) -> None:
    stored = archive.store.read(checkpoint_key(6))
    assert run("checkpoint").stdout.encode() == stored
    told = json.loads(run("checkpoint", "--json").stdout)
    signed = parse_checkpoint(stored, [archive.keyring.log.verifier])
    assert told == {
        "origin": signed.origin,
        "size": 6,
        "root": signed.root.hex(),
        "time": Entry.decode(archive.ledger.entry_bytes(5)).time,
        "key": "ledger/checkpoints/00000000000000000006",
        "vkey": archive.keyring.log.vkey,
    }


def test_a_pointer_that_was_changed_is_not_printed(archive: Archive, run: Run) -> None:
    stored = archive.store.read(checkpoint_key(6))
    for lie in (archive.store.read(checkpoint_key(5)), stored.replace(b"\n6\n", b"\n7\n"), b""):
        archive.store.replace("ledger/checkpoint", lie)
        assert run("checkpoint").stdout.encode() == stored
    archive.store.replace("ledger/checkpoint", stored)


def test_lost_tiles_are_made_again_when_asked_for(archive: Archive, run: Run) -> None:
    held = {head.key: archive.store.read(head.key) for head in archive.store.list("ledger/tile/")}
    for key in ("ledger/tile/0/000.p/6", "ledger/tile/entries/000.p/6"):
        remove(archive, key)
    run("checkpoint", "--remake")
    assert {head.key: archive.store.read(head.key) for head in archive.store.list("ledger/tile/")} == held


def remove(archive: Archive, key: str) -> None:
    for version in archive.store.versions(key):
        archive.store.client.delete_object(  # type: ignore[attr-defined] # the real store's
            Bucket=archive.settings.store_bucket, Key=key, VersionId=version, BypassGovernanceRetention=True
        )


def test_a_capture_is_proved_with_its_start_and_the_entry_before(
    archive: Archive, run: Run, tmp_path: Path
) -> None:
    result = run("prove", CAPTURE.lower(), "--to", tmp_path / "proof")
    files = sorted(path.name for path in (tmp_path / "proof").iterdir())
    assert files == sorted(
        f"{name}.{kind}" for name in ("entry", "prev", "started") for kind in ("json", "tlog-proof")
    )
    assert result.stdout.splitlines()[0] == f"{tmp_path}/proof/entry.json  entry 4 of 6"
    entries = {}
    for name in ("entry", "prev", "started"):
        data = (tmp_path / f"proof/{name}.json").read_bytes()
        proof = TlogProof.decode((tmp_path / f"proof/{name}.tlog-proof").read_bytes())
        assert proof.check(data, [archive.keyring.log.verifier]).size == 6
        entries[name] = Entry.decode(data)
    assert entries["entry"].type == "capture.failed"
    assert entries["entry"].body["started"] == entries["started"].index
    assert entries["entry"].prev == chain((tmp_path / "proof/prev.json").read_bytes())


def test_an_entry_is_proved_by_its_index(archive: Archive, run: Run, tmp_path: Path) -> None:
    result = run("prove", "1", "--to", tmp_path / "one", "--json")
    assert [json.loads(line)["index"] for line in result.stdout.splitlines()] == [1, 1, 0, 0]
    assert (tmp_path / "one/prev.json").read_bytes() == archive.ledger.entry_bytes(0)
    run("prove", "0", "--to", tmp_path / "none-before")
    assert sorted(path.name for path in (tmp_path / "none-before").iterdir()) == [
        "entry.json",
        "entry.tlog-proof",
    ]
    run("prove", "1", "--to", tmp_path / "alone.tlog-proof")
    assert (tmp_path / "alone.tlog-proof").read_bytes() == (tmp_path / "one/entry.tlog-proof").read_bytes()


def test_the_same_proof_again_is_fine_and_another_writes_nothing_over(run: Run, tmp_path: Path) -> None:
    run("prove", "1", "--to", tmp_path)
    before = (tmp_path / "entry.json").read_bytes()
    run("prove", "1", "--to", tmp_path)
    run("prove", "2", "--to", tmp_path, fails=UsageError)
    assert (tmp_path / "entry.json").read_bytes() == before


@pytest.mark.parametrize("to", ["file", "file/in", "folder.tlog-proof"])
def test_a_place_that_can_hold_no_proof_is_a_usage_error(run: Run, tmp_path: Path, to: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.tlog-proof").mkdir()
    assert "--to" in str(run("prove", "1", "--to", tmp_path / to, fails=UsageError).exception)


def test_what_cannot_be_proved_is_told(run: Run, tmp_path: Path) -> None:
    to = ("--to", tmp_path / "nothing")
    for what, said in (
        ("6", "6 entries are signed, none is 6"),
        (OPEN, f"nothing that ended as {OPEN}"),
        (new_ulid(), "nothing that ended as"),
        ("01ZZZ", "no capture begin"),
    ):
        assert said in str(run("prove", what, *to, fails=UsageError).exception)
    assert not (tmp_path / "nothing").exists()


def test_tiles_that_were_changed_prove_nothing(archive: Archive, run: Run, tmp_path: Path) -> None:
    key = "ledger/tile/0/000.p/6"
    true = archive.store.read(key)
    for forged, said in (
        (true[32:] + true[:32], "do not prove entry 3"),
        (b"x", "not what the entries give"),
    ):
        remove(archive, key)
        archive.store.client.put_object(  # type: ignore[attr-defined] # the real store's
            Bucket=archive.settings.store_bucket, Key=key, Body=forged
        )
        result = run("prove", "3", "--to", tmp_path / "nothing", fails=LedgerUnavailableError)
        assert said in str(result.exception)
        assert not (tmp_path / "nothing").exists()
    remove(archive, key)
    run("prove", "3", "--to", tmp_path / "made-again")
    assert archive.store.read(key) == true


def test_an_audit_knows_what_the_tiles_are_and_what_none_is(archive: Archive, run: Run) -> None:
    run("checkpoint", "--remake")
    stray = "ledger/tile/0/0"
    archive.store.put_once(stray, b"x", digest_bytes(b"x"), content_type="text/plain")
    told = CliRunner().invoke(akashi, ["audit", "--json"], standalone_mode=False).stdout.splitlines()
    remove(archive, stray)
    found = {(finding["object"], finding["rule"]) for finding in map(json.loads, told[:-1])}
    assert {place for place in found if place[0].startswith("ledger/tile/")} == {(stray, "tile-extra")}


def test_the_log_is_told_an_entry_a_line(archive: Archive, run: Run) -> None:
    lines = run("log").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3", "4", "5"]
    times = {Entry.decode(archive.ledger.entry_bytes(index)).time for index in range(6)}
    assert all(any(f"({time})" in line for time in times) for line in lines)
    assert lines[4].split()[-2:] == ["capture.failed", CAPTURE]


@pytest.mark.parametrize(
    ("filters", "indexes"),
    [
        (["--type", "capture"], [3, 4, 5]),
        (["--type", "capture.started"], [3, 5]),
        (["--subject", CAPTURE], [3, 4]),
        (["--subject", CAPTURE, "--type", "capture.failed"], [4]),
        (["--subject", "nobody"], []),
        (["--since", "2020-01-01"], [0, 1, 2, 3, 4, 5]),
        (["--since", "2999-01-01T00:00+09:00"], []),
    ],
    ids=["types", "type", "subject", "both", "nobody", "long ago", "not yet"],
)
def test_the_log_is_filtered(archive: Archive, run: Run, filters: list[str], indexes: list[int]) -> None:
    told = [json.loads(line) for line in run("log", "--json", *filters).stdout.splitlines()]
    assert [entry["index"] for entry in told] == indexes
    for entry in told:
        assert Entry(**entry).encode() == archive.ledger.entry_bytes(entry["index"])


def test_a_filter_that_cannot_be_is_refused(run: Run) -> None:
    assert "captur" in str(run("log", "--type", "captur", fails=UsageError).exception)
    assert "is no time" in str(run("log", "--since", "yesterday", fails=UsageError).exception)
