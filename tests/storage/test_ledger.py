"""The ledger over a real store: what it begins with, group commit, faults, losses, rivals."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from evidence.checkpoint import Checkpoint, checkpoint_key, parse_checkpoint
from evidence.digests import digest_bytes
from evidence.entry import Entry, chain
from evidence.errors import (
    EntryError,
    LedgerFencedError,
    LedgerUnavailableError,
    StoreUnavailableError,
)
from evidence.identifiers import new_ulid
from evidence.note import sign_note
from evidence.proof import check_inclusion
from evidence.segment import encode_segment, parse_segment, segment_key
from evidence.tiles import decode_bundle, decode_tile, parse_path, places
from evidence.tree import leaf_hash, root_of
from storage.home import Home
from storage.keyring import Keyring, Remembered
from storage.ledger import Ledger
from storage.objects import Abilities
from storage.s3 import S3Store
from storage.sequencer import Draft
from tests.postgres.server import Postgres
from tests.storage.faults import Fault, FaultyStore
from tests.storage.samples import REQUEST

Opener = Callable[..., Ledger]


def append(ledger: Ledger) -> int:
    return ledger.append("capture.started", new_ulid(), REQUEST).index


def read_log(store: S3Store, home: Home) -> list[Entry]:
    """The log as the store holds it: contiguous, chained, each checkpoint signed over it, the newest remembered."""
    keyring, entries = Keyring.open_or_create(home), list[bytes]()
    for head in store.list("ledger/segments/"):
        segment = parse_segment(store.read(head.key))
        assert head.key == segment_key(len(entries)), "a gap or an overlap"
        assert len(store.versions(head.key)) == 1
        entries += [entry.data for entry in segment.entries]
    decoded = [Entry.decode(entry) for entry in entries]
    assert [entry.index for entry in decoded] == list(range(len(entries)))
    assert all(b.prev == chain(a) for a, b in pairwise_bytes(entries, decoded))
    leaves = list(map(leaf_hash, entries))
    checkpoints = [
        parse_checkpoint(store.read(head.key), [keyring.log.verifier])
        for head in store.list("ledger/checkpoints/")
    ]
    tiles: set[str] = set()
    for checkpoint in checkpoints:
        assert checkpoint.root == root_of(leaves[: checkpoint.size])
        tiles.update(f"ledger/{place.path}" for place in places(checkpoint.size))
    held = {head.key: store.read(head.key) for head in store.list("ledger/tile/")}
    assert tiles - set(held) == set()
    for key, data in held.items():  # those of no checkpoint too: a crash left them, and they are as true
        place = parse_path(key.removeprefix("ledger/"))
        assert place is not None
        ours = slice(place.number * 256, place.number * 256 + place.width)
        if place.level is None:
            assert decode_bundle(data, place.width) == entries[ours]
        else:
            assert place.level > 0 or decode_tile(data, place.width) == leaves[ours]
    remembered = keyring.remembered()
    assert remembered is not None
    assert (checkpoints[-1].size, checkpoints[-1].root) >= (remembered.size, remembered.root)
    return decoded


def pairwise_bytes(entries: list[bytes], decoded: list[Entry]) -> list[tuple[bytes, Entry]]:
    return [(a, b) for (a, _), (_, b) in pairwise(zip(entries, decoded, strict=True))]


def test_a_new_log_begins_with_its_keys_and_its_store(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    keyring = Keyring.open_or_create(home)
    opened, key, custody = read_log(store, home)
    assert (opened.type, opened.body["vkey"]) == ("log.opened", keyring.log.vkey)
    assert (key.type, key.body) == ("key.added", {"role": "collector", "vkey": keyring.collector.vkey})
    assert (custody.type, custody.body) == ("custody.store", store.custody())
    assert ledger.size == 3
    open_ledger()
    assert len(read_log(store, home)) == 3


def test_a_store_that_changed_is_entered_once(open_ledger: Opener, store: S3Store, home: Home) -> None:
    open_ledger()
    store.abilities = Abilities(checksum_sha256=False)
    open_ledger()
    open_ledger()
    assert [entry.type for entry in read_log(store, home)][3:] == ["custody.store"]


def test_an_append_is_in_the_store_when_it_returns(open_ledger: Opener, store: S3Store, home: Home) -> None:
    ledger = open_ledger()
    appended = ledger.append("capture.started", new_ulid(), REQUEST)
    assert store.read(segment_key(3)) == encode_segment([appended.entry])
    assert ledger.entry_bytes(3) == appended.entry
    note = store.read(checkpoint_key(4))
    assert store.read("ledger/checkpoint") == note
    remembered = Keyring.open_or_create(home).remembered()
    assert remembered is not None
    signed = parse_checkpoint(note, [Keyring.open_or_create(home).log.verifier])
    assert signed == Checkpoint(signed.origin, remembered.size, remembered.root)


def test_those_who_wait_share_segments(open_ledger: Opener, store: S3Store, home: Home) -> None:
    ledger = open_ledger()
    with ThreadPoolExecutor(12) as pool:
        indexes = list(pool.map(lambda _: append(ledger), range(60)))
    assert sorted(indexes) == list(range(3, 63))
    assert len(read_log(store, home)) == 63
    assert len(list(store.list("ledger/segments/"))) < 40


def test_what_is_no_entry_is_refused_and_leaves_no_gap(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    with pytest.raises(EntryError):
        ledger.append("capture.started", "no id", REQUEST)
    with pytest.raises(EntryError):
        ledger.append("capture.vanished", new_ulid(), {})
    assert append(ledger) == 3
    assert len(read_log(store, home)) == 4


WRITES = [
    "ledger/segments/",
    "ledger/tile/0/",
    "ledger/tile/entries/",
    "ledger/checkpoints/",
    "ledger/checkpoint",
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("restarted", [False, True], ids=["goes on", "is opened again"])
def test_after_any_failed_write_the_log_goes_on(
    open_ledger: Opener, store: S3Store, home: Home, write: str, fault: Fault, restarted: bool
) -> None:
    faulty = FaultyStore(store)
    ledger = open_ledger(over=faulty)
    faulty.arm(write, fault)
    capture = new_ulid()
    if write == "ledger/segments/":  # not known to be in the store: the append says so
        with pytest.raises(StoreUnavailableError, match="injected"):
            ledger.append("capture.started", capture, REQUEST)
    else:  # it is in the store: the append stands, the checkpoint comes with the next
        assert ledger.append("capture.started", capture, REQUEST).index == 3
    assert faulty.struck == 1
    if restarted:
        ledger.close()
        ledger = open_ledger(over=faulty)
    assert [entry.index for entry in ledger.entries_of(capture)] == [3]
    assert append(ledger) == 4
    assert [entry.subject for entry in read_log(store, home)].count(capture) == 1
    assert ledger.size == 5
    newest = list(store.list("ledger/checkpoints/"))[-1]
    assert newest.key == checkpoint_key(5)
    assert store.read("ledger/checkpoint") == store.read(newest.key)


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("write", ["ledger/tile/0/000", "ledger/tile/entries/000", "ledger/tile/1/000.p/1"])
def test_after_a_full_tile_failed_the_next_attempt_writes_it_and_signs(
    open_ledger: Opener, store: S3Store, home: Home, write: str, fault: Fault
) -> None:
    faulty = FaultyStore(store)
    ledger = open_ledger(over=faulty)
    ledger._sequencer.sequence([Draft("capture.started", new_ulid(), REQUEST) for _ in range(260)])
    faulty.arm(write, fault)
    assert append(ledger) == 263
    assert faulty.struck == 1
    ledger.close()
    ledger = open_ledger(over=faulty)
    assert store.head(checkpoint_key(264)) is not None
    assert len(read_log(store, home)) == 264
    entry = ledger.entry_bytes(7)
    root = parse_checkpoint(store.read(checkpoint_key(264)), [Keyring.open_or_create(home).log.verifier]).root
    check_inclusion(leaf_hash(entry), 7, 264, ledger.tiles.inclusion(7, 264), root)


def test_a_segment_found_with_fewer_entries_is_taken_over_and_the_rest_follows(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    faulty = FaultyStore(store)
    ledger = open_ledger(over=faulty)
    faulty.arm("ledger/segments/", Fault.PERSISTED)
    with pytest.raises(StoreUnavailableError):
        append(ledger)
    faulty.arm("ledger/segments/", Fault.FAILED)
    with pytest.raises(StoreUnavailableError):
        append(ledger)
    assert append(ledger) == 5
    assert [entry.index for entry in read_log(store, home)] == list(range(6))
    assert [head.key for head in store.list("ledger/segments/")] == [segment_key(n) for n in (0, 3, 4)]


def test_a_lost_database_is_rebuilt_from_the_store(open_ledger: Opener, store: S3Store, home: Home) -> None:
    ledger = open_ledger()
    for _ in range(3):
        append(ledger)
    before = [ledger.entry_bytes(index) for index in range(6)]
    ledger.close()
    for path in home.root.glob("ledger.sqlite*"):
        path.unlink()
    again = open_ledger()
    assert [again.entry_bytes(index) for index in range(6)] == before
    assert append(again) == 6
    assert len(read_log(store, home)) == 7


def test_an_old_copy_of_the_database_catches_up(open_ledger: Opener, store: S3Store, home: Home) -> None:
    ledger = open_ledger()
    append(ledger)
    ledger.close()
    shutil.copy(home.ledger, home.root / "old")
    ledger = open_ledger()
    for _ in range(3):
        append(ledger)
    ledger.close()
    shutil.copy(home.root / "old", home.ledger)
    assert append(open_ledger()) == 7
    assert len(read_log(store, home)) == 8


def test_two_homes_on_one_bucket_are_told_apart(
    open_ledger: Opener, store: S3Store, home: Home, tmp_path: Path
) -> None:
    ledger = open_ledger()
    with pytest.raises(LedgerFencedError, match=r"holds the log of akashi.invalid/"):
        open_ledger(at=Home(tmp_path / "other").make())
    assert append(ledger) == 3
    assert len(read_log(store, home)) == 4


def test_of_two_copies_of_one_home_the_second_writer_is_fenced_for_good(
    open_ledger: Opener, store: S3Store, home: Home, tmp_path: Path
) -> None:
    open_ledger().close()
    copy = Home(tmp_path / "copy")
    shutil.copytree(home.root, copy.root)
    ours, theirs = open_ledger(), open_ledger(at=copy)
    assert append(ours) == 3
    for _ in range(2):
        with pytest.raises(LedgerFencedError, match="entry 3 in the store is not ours"):
            append(theirs)
    with pytest.raises(LedgerFencedError):
        open_ledger(at=copy)
    assert append(ours) == 4
    assert len(read_log(store, home)) == 5


def test_of_two_rivals_that_write_at_once_one_is_fenced_and_the_other_never_notices(
    open_ledger: Opener, store: S3Store, home: Home, tmp_path: Path
) -> None:
    open_ledger().close()
    copy = Home(tmp_path / "copy")
    shutil.copytree(home.root, copy.root)

    def write(ledger: Ledger) -> list[tuple[int, bytes]]:
        given: list[tuple[int, bytes]] = []
        with suppress(LedgerFencedError):
            for _ in range(6):
                drafts = [Draft("capture.started", new_ulid(), REQUEST) for _ in range(3)]
                given += [(one.index, one.entry) for one in ledger.append_many(drafts)]
        return given

    with ThreadPoolExecutor(2) as pool:
        fenced, won = sorted(pool.map(write, [open_ledger(), open_ledger(at=copy)]), key=len)
    assert fenced == []
    assert [index for index, _ in won] == list(range(3, 21))
    log = read_log(store, home if Keyring.open_or_create(home).remembered() == signed(store, home) else copy)
    assert [(entry.index, entry.encode()) for entry in log[3:]] == won


def signed(store: S3Store, home: Home) -> Remembered:
    newest = list(store.list("ledger/checkpoints/"))[-1]
    checkpoint = parse_checkpoint(store.read(newest.key), [Keyring.open_or_create(home).log.verifier])
    return Remembered(checkpoint.size, checkpoint.root)


def test_machines_that_share_keys_and_a_database_are_no_rivals(
    open_ledger: Opener, store: S3Store, home: Home, tmp_path: Path, postgres: Postgres
) -> None:
    database = postgres.new_database()
    open_ledger(database=database).close()
    copy = Home(tmp_path / "copy")
    shutil.copytree(home.root, copy.root)
    one, other = open_ledger(database=database), open_ledger(at=copy, database=database)
    assert [append(ledger) for ledger in (one, other, other, one, other)] == [3, 4, 5, 6, 7]
    assert len(read_log(store, home)) == 8
    assert Keyring.open_or_create(copy).remembered() == signed(store, copy)
    rival = open_ledger(database=postgres.new_database())  # the store's log, taken over into another
    assert append(one) == 8
    with pytest.raises(LedgerFencedError, match="entry 8 in the store is not ours"):
        append(rival)
    assert append(other) == 9
    assert len(read_log(store, copy)) == 10


@pytest.mark.slow
def test_a_lost_postgres_is_rebuilt_from_the_store(
    open_ledger: Opener, store: S3Store, home: Home, postgres: Postgres
) -> None:
    ledger = open_ledger(database=postgres.new_database())
    for _ in range(2):
        append(ledger)
    before = [ledger.entry_bytes(index) for index in range(5)]
    again = open_ledger(database=postgres.new_database())
    assert [again.entry_bytes(index) for index in range(5)] == before
    assert append(again) == 5
    assert append(open_ledger()) == 6  # and back to SQLite
    assert len(read_log(store, home)) == 7


def test_many_are_appended_at_once_in_full_segments_under_one_checkpoint(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    made = ledger.append_many([Draft("capture.started", new_ulid(), REQUEST) for _ in range(600)])
    assert [one.index for one in made] == list(range(3, 603))
    assert [ledger.entry_bytes(one.index) for one in made] == [one.entry for one in made]
    keys = [head.key for head in store.list("ledger/segments/")]
    assert keys == [segment_key(n) for n in (0, 3, 259, 515)]
    assert [head.key for head in store.list("ledger/checkpoints/")] == [checkpoint_key(n) for n in (3, 603)]
    assert len(read_log(store, home)) == 603
    assert ledger.append_many([]) == []


def test_a_long_run_is_signed_now_and_then(
    open_ledger: Opener, store: S3Store, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.ledger._UNSIGNED", 256)
    open_ledger().append_many([Draft("capture.started", new_ulid(), REQUEST) for _ in range(600)])
    sizes = [head.key for head in store.list("ledger/checkpoints/")]
    assert sizes == [checkpoint_key(n) for n in (3, 259, 515, 603)]
    assert len(read_log(store, home)) == 603


def test_of_many_that_are_appended_at_once_one_that_is_no_entry_keeps_all_out(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    drafts = [Draft("capture.started", new_ulid(), REQUEST) for _ in range(9)]
    with pytest.raises(EntryError):
        ledger.append_many([*drafts, Draft("capture.vanished", new_ulid(), {})])
    assert append(ledger) == 3
    assert len(read_log(store, home)) == 4


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (b'"v":2}', "version 2 is not known"),
        (b'"v":1} ', "not the canonical form"),
        (b'"v":1}\n{}', "not JSON"),
    ],
    ids=["no entry", "not canonical", "two lines"],
)
def test_what_was_damaged_between_its_transaction_and_its_segment_is_not_published(
    open_ledger: Opener, store: S3Store, home: Home, damage: bytes, what: str
) -> None:
    faulty = FaultyStore(store)
    ledger = open_ledger(over=faulty)
    faulty.arm("ledger/segments/", Fault.FAILED)
    with pytest.raises(StoreUnavailableError):
        append(ledger)
    with sqlite3.connect(home.ledger) as other:
        (entry,) = other.execute("SELECT entry FROM entries WHERE position = 3").fetchone()
        other.execute("UPDATE entries SET entry = ? WHERE position = 3", [entry.replace(b'"v":1}', damage)])
    other.close()
    with pytest.raises(LedgerUnavailableError, match=what) as told:
        append(ledger)
    assert "rebuilt from the store" in told.value.next
    assert store.head(segment_key(3)) is None
    ledger.close()
    home.ledger.rename(home.root / "aside")
    assert append(open_ledger()) == 3
    assert len(read_log(store, home)) == 4


def test_a_checkpoint_that_could_not_be_stored_is_stored_when_the_entry_is_asked_for(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    faulty = FaultyStore(store)
    ledger = open_ledger(over=faulty)
    faulty.arm("ledger/checkpoints/", Fault.FAILED)
    capture = new_ulid()
    ledger.append("capture.started", capture, REQUEST)
    assert store.head(checkpoint_key(4)) is None
    assert len(ledger.entries_of(capture)) == 1
    assert store.read("ledger/checkpoint") == store.read(checkpoint_key(4))


def test_a_sign_reads_only_what_is_new(
    open_ledger: Opener, store: S3Store, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    ledger.append_many([Draft("capture.started", new_ulid(), REQUEST) for _ in range(600)])
    ledger.close()
    ledger = open_ledger()
    asked: list[int] = []
    read = ledger._sequencer.entries
    monkeypatch.setattr(ledger._sequencer, "entries", lambda a, b: (asked.append(a), read(a, b))[1])
    append(ledger)
    append(ledger)
    assert asked
    assert min(asked) >= 512  # the last tile's first leaf: it is written whole


def test_a_checkpoint_that_the_store_has_with_other_signatures_is_taken_as_it_is(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    keyring = Keyring.open_or_create(home)
    drafts = [Draft("capture.started", new_ulid(), REQUEST)]
    (made,) = ledger._sequencer.sequence(drafts)
    leaves = [leaf_hash(entry) for entry in ledger._sequencer.entries(0, 4)]
    note = sign_note(Checkpoint(keyring.origin, 4, root_of(leaves)).body(), [keyring.log, keyring.collector])
    store.put_once(checkpoint_key(4), note, digest_bytes(note), content_type="text/plain")
    assert [entry.index for entry in ledger.entries_of(made.decoded.subject)] == [3]
    assert store.read("ledger/checkpoint") == note
    assert append(ledger) == 4


def remove(store: S3Store, key: str) -> None:
    """Take an object away as an administrator of the store could."""
    for version in store.versions(key):
        store.client.delete_object(
            Bucket=store.bucket, Key=key, VersionId=version, BypassGovernanceRetention=True
        )


def test_a_dropped_tail_is_seen_even_when_the_database_is_lost_too(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    append(ledger)
    append(ledger)
    ledger.close()
    remove(store, segment_key(4))
    with pytest.raises(LedgerUnavailableError, match="lost ledger/segments/000000000004"):
        open_ledger()
    for path in home.root.glob("ledger.sqlite*"):
        path.unlink()
    with pytest.raises(LedgerUnavailableError, match="of 5 signed entries the store has 4: the tail is gone"):
        open_ledger()


def test_a_gap_in_the_store_is_not_rebuilt_over(open_ledger: Opener, store: S3Store, home: Home) -> None:
    ledger = open_ledger()
    append(ledger)
    append(ledger)
    ledger.close()
    remove(store, segment_key(3))
    for path in home.root.glob("ledger.sqlite*"):
        path.unlink()
    with pytest.raises(LedgerUnavailableError, match="lacks ledger/segments/000000000003, but has"):
        open_ledger()


def test_a_damaged_segment_is_told(open_ledger: Opener, store: S3Store, home: Home) -> None:
    open_ledger().close()
    data = store.read(segment_key(0)).replace(b"collector", b"c0llector")
    remove(store, segment_key(0))
    store.put_once(segment_key(0), data, digest_bytes(data), content_type="text/plain")
    with pytest.raises(LedgerUnavailableError, match="ledger/segments/000000000000 is damaged"):
        open_ledger()


def test_nothing_is_signed_that_contradicts_what_was_signed(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    append(ledger)
    memory = home.keys / "remembered.json"
    memory.write_text(f'{{"root": "{"0" * 64}", "size": 4}}')
    with pytest.raises(LedgerUnavailableError, match="do not contain the 4 that were signed"):
        append(ledger)
    assert store.head(checkpoint_key(5)) is None
    with pytest.raises(LedgerUnavailableError, match="do not contain"):
        open_ledger()


def test_another_checkpoint_of_the_same_size_stops_the_log(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    keyring = Keyring.open_or_create(home)
    forged = sign_note(Checkpoint(keyring.origin, 4, b"f" * 32).body(), [keyring.log])
    store.put_once(checkpoint_key(4), forged, digest_bytes(forged), content_type="text/plain")
    with pytest.raises(LedgerFencedError, match="another checkpoint of 4 entries"):
        append(ledger)


def test_a_tile_that_differs_stops_the_log_before_it_is_signed(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    store.put_once("ledger/tile/0/000.p/4", b"f" * 128, digest_bytes(b"f" * 128), content_type="text/plain")
    with pytest.raises(LedgerUnavailableError, match=r"ledger/tile/0/000.p/4 in the store is not what"):
        append(ledger)
    assert store.head(checkpoint_key(4)) is None
    remove(store, "ledger/tile/0/000.p/4")
    assert append(ledger) == 4
    assert len(read_log(store, home)) == 5


def test_a_memory_from_an_older_backup_is_brought_up_to_date(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger = open_ledger()
    old = (home.keys / "remembered.json").read_text()
    for _ in range(3):
        append(ledger)
    (home.keys / "remembered.json").write_text(old)
    append(ledger)
    remembered = Keyring.open_or_create(home).remembered()
    assert remembered is not None
    assert remembered.size == 7
    assert len(read_log(store, home)) == 7


def test_published_entries_can_be_asked_for(open_ledger: Opener, home: Home, store: S3Store) -> None:
    ledger = open_ledger()
    capture = new_ulid()
    ledger.append("capture.started", capture, REQUEST)
    assert [entry.type for entry in ledger.entries()] == [
        "log.opened",
        "key.added",
        "custody.store",
        "capture.started",
    ]
    assert [entry.index for entry in ledger.entries(2)] == [2, 3]
    assert [entry.subject for entry in ledger.entries_of(capture)] == [capture]
    assert ledger.entries_of(new_ulid()) == []
    with pytest.raises(LedgerUnavailableError, match="no entry 4"):
        ledger.entry_bytes(4)
