"""What is done with captures, on the real store: entered once, whatever fails, and finished by the same command."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from evidence.audit import Expectations, audit
from evidence.custody import Custody
from evidence.digests import digest_bytes
from evidence.entry import CUSTODY
from evidence.errors import CheckFailedError, CustodyError, StoreUnavailableError
from evidence.identifiers import new_ulid
from storage.archive import Archive
from storage.catalogue import Catalogue
from storage.custody import Act, Custodian, history, record_of
from storage.folder import copy_to_folder
from storage.home import Home
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.objects import ObjectHead
from storage.s3 import S3Store
from storage.settings import Settings
from tests.storage.faults import Fault, FaultyStore
from tests.storage.samples import close_capture

UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90)
BUNDLE = digest_bytes(b"tagmanifest")


@pytest.fixture
def faulty(store: S3Store) -> FaultyStore:
    return FaultyStore(store)


@pytest.fixture
def archive(home: Home, faulty: FaultyStore, open_ledger: Callable[..., Ledger]) -> Iterator[Archive]:
    catalogue = Catalogue(home)
    over: Any = faulty
    yield Archive(
        Settings(home=home), over, Keyring.open_or_create(home), open_ledger(over=faulty), catalogue
    )
    catalogue.close()


@pytest.fixture
def capture(archive: Archive) -> str:
    return close_capture(archive)


def person(archive: Archive, name: str = "Aiko", authority: str = "order 12") -> Custodian:
    actor = {"name": name, "os_user": "u", "host": "desk", "method": "asserted"}
    return Custodian(archive, actor, "case K-17", authority)


def kinds(archive: Archive, capture: str) -> list[str]:
    return [e.type.partition(".")[2] for e in archive.ledger.entries_of(capture) if e.type in CUSTODY]


def heads(archive: Archive, capture: str) -> list[ObjectHead | None]:
    closed = Custody.of(archive.ledger.entries_of(capture)).closed
    assert closed is not None
    return [archive.store.head(item["key"], item["version"]) for item in closed.ended["objects"]]


def holds(archive: Archive, capture: str) -> list[bool | None]:
    return [head and head.legal_hold for head in heads(archive, capture)]


def findings(archive: Archive) -> list[tuple[str, str]]:
    """Of custody and of missing objects; that `a warc` is none is not the matter here."""
    report = audit(archive.store, Expectations())
    found = [f for f in report.findings if f.rule.startswith(("custody", "object", "entry"))]
    return [(f.object.rsplit("/", 1)[-1], f.rule) for f in found]


DO: dict[str, Callable[[Archive, str], Act]] = {
    "held": lambda archive, capture: person(archive).hold(capture),
    "released": lambda archive, capture: person(archive).release(capture),
    "retained": lambda archive, capture: person(archive).retain(capture, UNTIL),
    "quarantined": lambda archive, capture: person(archive).quarantine(capture),
    "cleared": lambda archive, capture: person(archive).clear(capture),
    "erasure-requested": lambda archive, capture: person(archive).request_erasure(capture),
    "erased": lambda archive, capture: person(archive, "Ben").confirm_erasure(capture),
    "exported": lambda archive, capture: person(archive).exported(capture, BUNDLE, "Ms Sato"),
    "transferred": lambda archive, capture: person(archive).transferred(capture, "Ms Sato"),
}
BEFORE = {"released": "held", "cleared": "quarantined", "erased": "erasure-requested"}
LOCKS = {"held", "released", "retained", "erased"}


def stands(archive: Archive, capture: str, kind: str) -> None:
    """The store is as the act leaves it."""
    if kind in {"held", "released"}:
        assert holds(archive, capture) == [kind == "held"] * 2
    elif kind == "retained":
        assert [head and head.retain_until for head in heads(archive, capture)] == [UNTIL] * 2
    elif kind == "erased":
        assert heads(archive, capture) == [None] * 2
        assert not list(archive.store.list(f"captures/2026/11/23/{capture}"))


def test_each_act_is_done_and_entered_once_with_its_side_record(archive: Archive) -> None:
    for kind, do in DO.items():
        capture = close_capture(archive)
        if kind in BEFORE:
            DO[BEFORE[kind]](archive, capture)
        act = do(archive, capture)
        assert (act.new, act.entry.type, act.entry.subject) == (True, f"custody.{kind}", capture)
        stands(archive, capture, kind)
        record = record_of(archive, act.entry)
        assert (record["reason"], record["capture"], record["type"]) == ("case K-17", capture, act.entry.type)
        assert not [word for word in (b"Aiko", b"Ben", b"K-17", b"Sato") if word in act.entry.encode()]
        again = do(archive, capture)
        assert (again.entry, again.new) == (act.entry, False)
        assert Counter(kinds(archive, capture))[kind] == 1
    assert findings(archive) == []


def test_of_two_who_hold_at_once_one_enters_it(archive: Archive, capture: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        acts = list(pool.map(lambda _: person(archive).hold(capture), range(4)))
    assert sorted(act.new for act in acts) == [False, False, False, True]
    assert kinds(archive, capture) == ["held"]


def places_of(kind: str, capture: str) -> list[str]:
    folder = f"captures/2026/11/23/{capture}"
    objects = [f"{folder}/akashi-{capture}.warc.gz", f"{folder}/manifest.json"]
    return ["custody/", *(objects if kind in LOCKS else []), "ledger/segments/", "ledger/checkpoints/"]


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
def test_a_hold_whose_entry_was_not_published_is_entered_once_by_the_same_command(
    archive: Archive, faulty: FaultyStore, capture: str, fault: Fault
) -> None:
    faulty.arm("ledger/segments/", fault)
    with pytest.raises(StoreUnavailableError, match="injected"):
        person(archive).hold(capture)
    assert not person(archive).hold(capture).new
    assert kinds(archive, capture) == ["held"]
    assert holds(archive, capture) == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(DO))
def test_whatever_write_fails_a_repeated_command_ends_in_the_right_state_with_one_entry(
    archive: Archive, faulty: FaultyStore, kind: str
) -> None:
    for number, fault in product(range(len(places_of(kind, ""))), Fault):
        capture = close_capture(archive)
        if kind in BEFORE:
            DO[BEFORE[kind]](archive, capture)
        where = places_of(kind, capture)[number]
        struck = faulty.struck
        faulty.arm(where, fault)
        if where == "ledger/checkpoints/":
            DO[kind](archive, capture)  # the append stands
        else:
            with pytest.raises(StoreUnavailableError, match="injected"):
                DO[kind](archive, capture)
        assert faulty.struck == struck + 1
        assert findings(archive) == [], (where, fault)
        DO[kind](archive, capture)
        stands(archive, capture, kind)
        assert Counter(kinds(archive, capture))[kind] == 1, (where, fault)
        assert findings(archive) == [], (where, fault)


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from storage import s3_lock
from storage.archive import Archive
from storage.catalogue import Catalogue
from storage.custody import Custodian
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from storage.settings import Settings
kind, at, capture = sys.argv[1:]
store = S3Store(S3Endpoint(*server), bucket)
keyring = Keyring.open_or_create(home)
ledger = Ledger(home, store, keyring)
ledger.open()
writes = 0
def watched(name):
    real = getattr(store, name)
    def call(*args, **kwargs):
        global writes
        done = real(*args, **kwargs)
        writes += 1
        if writes == int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(store, name, call)
for name in ("put_once", "replace", "set_hold", "erase"):
    watched(name)
actor = {"name": "Ben", "os_user": "u", "host": "desk", "method": "asserted"}
who = Custodian(Archive(Settings(home=home), store, keyring, ledger, Catalogue(home)), actor, "case K-17")
getattr(who, kind)(capture)
print(writes)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kind"), [("hold", "held"), ("confirm_erasure", "erased")])
def test_killed_after_any_write_the_same_command_finishes(
    archive: Archive, run_python: Callable[..., subprocess.Popen[str]], method: str, kind: str
) -> None:
    killed, at = True, 0
    while (
        killed
    ):  # after the record, two objects, the segment, its tiles, checkpoint, pointer; then it is through
        at += 1
        capture = close_capture(archive)
        if kind == "erased":
            person(archive).request_erasure(capture)
        process = run_python(KILLED, method, str(at), capture)
        said, _ = process.communicate()
        killed = process.returncode == -signal.SIGKILL
        assert killed or (process.returncode == 0 and at > 6), said
        assert findings(archive) == [], at
        archive.ledger.open()  # as the next process does
        DO_BEN[kind](archive, capture)
        stands(archive, capture, kind)
        assert Counter(kinds(archive, capture))[kind] == 1
        assert findings(archive) == [], at


DO_BEN: dict[str, Callable[[Archive, str], Act]] = {
    "held": lambda archive, capture: person(archive, "Ben").hold(capture),
    "erased": DO["erased"],
}


@contextmanager
def refused(rule: str) -> Iterator[None]:
    with pytest.raises(CustodyError) as told:
        yield
    assert (told.value.rule, told.value.exit_code) == (rule, 6)
    assert told.value.next


def test_what_custody_refuses_leaves_no_trace(archive: Archive, capture: str) -> None:
    aiko, ben = person(archive), person(archive, "Ben")
    for rule, do in (
        ("custody-not-held", aiko.release),
        ("custody-not-quarantined", aiko.clear),
        ("custody-no-request", ben.confirm_erasure),
    ):
        with refused(rule):
            do(capture)
    with refused("custody-shortened"):
        aiko.retain(capture, datetime.now(UTC))
    with refused("custody-not-closed"):
        aiko.hold(new_ulid())
    assert kinds(archive, capture) == []
    assert list(archive.store.list("custody/")) == []


def test_nothing_of_a_capture_in_quarantine_is_handed_out(archive: Archive, capture: str) -> None:
    aiko = person(archive)
    aiko.accessed(capture, "download")
    aiko.quarantine(capture)
    with refused("custody-quarantined"):
        aiko.accessed(capture, "view")
    with refused("custody-quarantined"):
        aiko.exported(capture, BUNDLE, "Ms Sato")
    aiko.clear(capture)
    aiko.accessed(capture, "view")
    assert kinds(archive, capture) == ["accessed", "quarantined", "cleared", "accessed"]


def test_an_erasure_takes_two_persons_and_no_hold(archive: Archive, capture: str) -> None:
    aiko, ben = person(archive), person(archive, "Ben")
    aiko.hold(capture)
    with refused("custody-held"):
        aiko.request_erasure(capture)
    aiko.release(capture)
    aiko.request_erasure(capture)
    with refused("custody-one-person"):
        person(archive, "AIKO").confirm_erasure(capture)
    ben.hold(capture)  # ends the request
    ben.release(capture)
    with refused("custody-no-request"):
        ben.confirm_erasure(capture)
    aiko.request_erasure(capture)
    ben.confirm_erasure(capture)
    with refused("custody-erased"):
        aiko.accessed(capture, "download")
    assert [head for head in heads(archive, capture) if head] == []
    assert findings(archive) == []


def test_a_hold_that_only_the_store_knows_of_stops_an_erasure(archive: Archive, capture: str) -> None:
    person(archive).request_erasure(capture)
    closed = Custody.of(archive.ledger.entries_of(capture)).closed
    assert closed is not None
    item = closed.ended["objects"][1]
    archive.store.set_hold(item["key"], item["version"], on=True)
    with refused("custody-locked"):
        person(archive, "Ben").confirm_erasure(capture)
    assert None not in heads(archive, capture)


@pytest.mark.parametrize("reader", ["audit", "copy"])
def test_who_reads_while_another_erases_goes_on(
    archive: Archive, capture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    """The listing was taken, the objects are gone by the time they are opened."""
    person(archive).request_erasure(capture)
    opened, expected = S3Store.open, Expectations()

    def open_erased(store: S3Store, key: str, *more: Any) -> Any:
        monkeypatch.setattr(S3Store, "open", opened)
        if f"/{capture}/" not in key:
            answer = opened(store, key, *more)
            monkeypatch.setattr(S3Store, "open", open_erased)
            return answer
        person(archive, "Ben").confirm_erasure(capture)
        return opened(store, key, *more)

    monkeypatch.setattr(S3Store, "open", open_erased)
    if reader == "audit":
        report = audit(archive.store, expected)
        assert [f.rule for f in report.findings if f.rule.startswith(("object", "custody"))] == []
        assert any("is gone: erased by" in note for note in report.notes)
    else:
        copy_to_folder(archive.store, tmp_path / "copy")
        assert not list((tmp_path / "copy").glob(f"**/{capture}/*"))
        assert archive.ledger.size > 3
    assert "erased" in kinds(archive, capture)


def test_under_compliance_nothing_is_erased_before_its_date(
    archive: Archive, capture: str, reopen: Callable[..., S3Store]
) -> None:
    legal: Any = reopen(compliance=True)
    archive.store = legal
    kept = close_capture(archive)
    person(archive).request_erasure(kept)
    with refused("custody-locked"):
        person(archive, "Ben").confirm_erasure(kept)
    assert None not in heads(archive, kept)
    assert "erased" not in kinds(archive, kept)


def test_a_version_that_no_entry_names_is_not_left_behind_in_silence(
    archive: Archive, store: S3Store, capture: str
) -> None:
    person(archive).request_erasure(capture)
    key = f"captures/2026/11/23/{capture}/manifest.json"
    store.client.put_object(Bucket=store.bucket, Key=key, Body=b"over")
    with pytest.raises(CheckFailedError, match=f"other versions of {key} are left"):
        person(archive, "Ben").confirm_erasure(capture)
    assert "erased" not in kinds(archive, capture)


def test_a_hold_that_was_lifted_behind_the_ledgers_back_is_found_and_set_again(
    archive: Archive, store: S3Store, capture: str
) -> None:
    person(archive).hold(capture)
    head = heads(archive, capture)[0]
    assert head is not None
    at: Any = {"Bucket": store.bucket, "Key": head.key, "VersionId": head.version}
    store.client.put_object_legal_hold(**at, LegalHold={"Status": "OFF"})
    assert findings(archive) == [(head.key.rsplit("/", 1)[-1], "custody-hold-lifted")]
    assert person(archive).hold(capture).new
    assert findings(archive) == []
    assert kinds(archive, capture) == ["held", "held"]


def test_retention_that_was_shortened_behind_the_ledgers_back_is_found(
    archive: Archive, store: S3Store, capture: str
) -> None:
    person(archive).retain(capture, UNTIL)
    head = heads(archive, capture)[1]
    assert head is not None
    at: Any = {"Bucket": store.bucket, "Key": head.key, "VersionId": head.version}
    shorter: Any = {"Mode": "GOVERNANCE", "RetainUntilDate": UNTIL - timedelta(days=80)}
    store.client.put_object_retention(**at, Retention=shorter, BypassGovernanceRetention=True)
    assert findings(archive) == [("manifest.json", "custody-retention-shortened")]


def test_the_catalogue_tells_custody_and_forgets_what_was_erased_and_is_rebuilt(
    archive: Archive, capture: str
) -> None:
    def row() -> dict[str, Any]:
        archive.catalogue.follow(archive.store, archive.ledger)
        (found,) = archive.catalogue.starting_with(capture)
        return found

    whole = row()
    person(archive).hold(capture)
    person(archive).quarantine(capture)
    assert row() == whole | {"custody": ["held", "quarantined"]}
    person(archive).release(capture)
    DO["erasure-requested"](archive, capture)
    DO["erased"](archive, capture)
    gone = row()
    assert (gone["custody"], gone["outcome"], gone["sha256"]) == (
        ["quarantined", "erased"],
        whole["outcome"],
        whole["sha256"],
    )
    assert not any(gone[name] for name in ("url", "title", "uploader", "note", "operator", "case"))
    assert archive.catalogue.search("動画") == []
    home = archive.settings.home
    archive.catalogue.close()
    for path in home.root.glob("catalogue.sqlite*"):
        path.unlink()
    archive.catalogue = Catalogue(home)
    assert row() == gone


def test_the_history_tells_who_and_why_and_what_is_gone(archive: Archive, capture: str) -> None:
    person(archive).hold(capture)
    person(archive, "Ben").transferred(capture, "Ms Sato")
    entries = archive.ledger.entries_of(capture)
    held, moved = history(archive, entries)
    assert (held["type"], held["record"]["actor"]["name"]) == ("custody.held", "Aiko")
    assert moved["record"]["details"] == {"recipient": "Ms Sato"}
    record = entries[-1].body["record"]
    archive.store.erase(record["key"], record["version"])
    assert history(archive, entries)[1] == moved | {"record": None, "error": f"{record['key']} is gone"}
