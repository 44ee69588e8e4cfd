"""One suite for every ObjectSource (S3Store on SeaweedFS, FolderCopy), one for every ObjectStore (S3Store)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from evidence.audit_report import ObjectSource
from evidence.digests import digest_bytes, digest_file
from evidence.errors import CustodyError, ObjectConflictError, StoreUnavailableError
from storage.folder import FolderCopy, copy_to_folder
from storage.objects import Abilities, ObjectStore
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from storage.s3_lock import refuse_locked
from tests.storage.samples import new_store

BIG = bytes(range(256)) * 5_000
OBJECTS = {
    "captures/2026/11/23/A/manifest.json": b"{}",
    "captures/2026/11/23/A/one.warc.gz": BIG,
    "captures/2026/11/23/A-b/empty": b"",
    "crawls/2026/11/23/one.warc.gz": b"crawl",
    "ledger/segments/000000000000": b"segment\n",
}


def read(source: ObjectSource, key: str, version: str | None = None) -> bytes:
    with source.open(key, version) as stream:
        return stream.read()


def put(store: ObjectStore, key: str, data: bytes) -> str:
    return store.put_once(key, data, digest_bytes(data), content_type="application/octet-stream").version


@pytest.fixture
def store(one_bucket: S3Store) -> S3Store:
    return one_bucket


@pytest.fixture(scope="module")
def sources(endpoint: S3Endpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ObjectSource]:
    store, folder = new_store(endpoint), tmp_path_factory.mktemp("copy")
    for key, data in OBJECTS.items():
        put(store, key, data)
    assert copy_to_folder(store, folder) == (len(OBJECTS), sum(map(len, OBJECTS.values())))
    return {"S3Store": store, "FolderCopy": FolderCopy(folder)}


@pytest.fixture(params=["S3Store", "FolderCopy"])
def source(request: pytest.FixtureRequest, sources: dict[str, ObjectSource]) -> ObjectSource:
    return sources[request.param]


def test_a_source_lists_keys_in_byte_order_with_their_sizes(source: ObjectSource) -> None:
    assert [(head.key, head.size) for head in source.list("")] == sorted(
        (k, len(v)) for k, v in OBJECTS.items()
    )
    assert [head.key for head in source.list("captures/2026/11/23/A/")] == [
        "captures/2026/11/23/A/manifest.json",
        "captures/2026/11/23/A/one.warc.gz",
    ]
    assert list(source.list("nothing/")) == []


def test_a_source_gives_whole_objects_and_ranges_of_them(source: ObjectSource) -> None:
    key = "captures/2026/11/23/A/one.warc.gz"
    assert read(source, key) == BIG
    assert read(source, "captures/2026/11/23/A-b/empty") == b""
    for start, length in (
        (5, 10),
        (0, 1),
        (None, 7),
        (1000, None),
        (len(BIG) - 3, 100),
        (len(BIG) + 5, 4),
        (9, 0),
    ):
        with source.open(key, start=start, length=length) as stream:
            first = start or 0
            assert stream.read() == BIG[first : None if length is None else first + length], (start, length)


def test_a_store_downloads_into_a_new_file_only(sources: dict[str, Any], tmp_path: Path) -> None:
    store, to = sources["S3Store"], tmp_path / "downloaded"
    assert store.download("captures/2026/11/23/A/one.warc.gz", to) == digest_bytes(BIG) == digest_file(to)
    with pytest.raises(FileExistsError):
        store.download("captures/2026/11/23/A/manifest.json", to)


def test_a_source_says_that_an_object_is_missing(source: ObjectSource) -> None:
    key = "captures/2026/11/23/A"
    assert list(source.versions(key)) == []
    with pytest.raises(FileNotFoundError):
        source.open(f"{key}/none")
    with pytest.raises(FileNotFoundError):
        source.open("crawls/2026/11/23/one.warc.gz", "00000000000000000000000000000000")


def test_a_source_has_one_version_of_what_was_written_once(source: ObjectSource) -> None:
    assert [len(source.versions(key)) for key in OBJECTS] == [1] * len(OBJECTS)


def test_what_was_put_is_told_with_version_digest_and_lock(key: str, store: S3Store) -> None:
    stored = store.put_once(key, b"abc", digest_bytes(b"abc"), content_type="text/plain")
    head = store.head(key)
    assert head is not None
    assert (head.size, head.version, head.sha256) == (3, stored.version, digest_bytes(b"abc").sha256)
    assert stored.retain_until == head.retain_until is not None
    assert head.lock_mode == "GOVERNANCE"
    assert store.read(key, stored.version) == b"abc"


def test_what_is_missing_has_no_head(sources: dict[str, Any]) -> None:
    assert sources["S3Store"].head("captures/2026/11/23/A") is None


def test_a_copy_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "copy" / "crawls").mkdir(parents=True)
    (tmp_path / "copy" / "crawls" / "a").symlink_to(tmp_path / "secret")
    (tmp_path / "copy" / "captures").symlink_to(tmp_path)
    copy = FolderCopy(tmp_path / "copy")
    assert list(copy.list("")) == []
    for linked in ("crawls/a", "captures/secret"):
        with pytest.raises(FileNotFoundError):
            copy.open(linked)


def test_the_same_bytes_again_are_the_same_object(key: str, store: S3Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(BIG)
    first = put(store, key, BIG)
    again = store.put_once(key, file, digest_file(file), content_type="text/plain")
    assert again.version == first
    assert list(store.versions(key)) == [first]


@pytest.mark.parametrize("other", [b"abd", b"abcd", b""])
def test_other_bytes_under_a_key_are_refused_and_change_nothing(
    key: str, store: S3Store, other: bytes
) -> None:
    version = put(store, key, b"abc")
    with pytest.raises(ObjectConflictError, match=f"{key} holds other bytes"):
        put(store, key, other)
    assert list(store.versions(key)) == [version]
    assert store.read(key) == b"abc"


def test_of_rivals_for_one_key_exactly_one_wins(key: str, store: S3Store) -> None:
    start, outcomes = Barrier(4), list[bytes | None]()

    def rival(data: bytes) -> None:
        start.wait()
        try:
            put(store, key, data)
        except ObjectConflictError:
            outcomes.append(None)
        else:
            outcomes.append(data)

    threads = [Thread(target=rival, args=(b"%d" % number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [data for data in outcomes if data is not None]
    assert store.read(key) == winner
    assert len(outcomes) == 4


def test_bytes_that_are_not_those_of_the_digest_are_not_stored(key: str, store: S3Store) -> None:
    with pytest.raises(StoreUnavailableError, match=f"cannot store {key}: BadDigest"):
        store.put_once(key, b"changed", digest_bytes(b"digests"), content_type="text/plain")
    assert store.head(key) is None


def test_only_the_pointer_may_be_replaced(store: S3Store) -> None:
    store.replace("ledger/checkpoint", b"1")
    store.replace("ledger/checkpoint", b"2")
    assert store.read("ledger/checkpoint") == b"2"
    with pytest.raises(ValueError, match="written once"):
        store.replace("ledger/checkpoints/00000000000000000001", b"1")


@pytest.mark.parametrize("key", ["", "a//b", "/a", "a/", "a/../b", ".", "a b", "鍵", "a/" + "x" * 201, "a?b"])
def test_keys_that_some_store_would_lose_are_refused(sources: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match="not a storable key"):
        put(sources["S3Store"], key, b"")
    with pytest.raises(ValueError, match="not a storable key"):
        sources["FolderCopy"].open(key)


def held(store: ObjectStore, key: str) -> bool:
    head = store.head(key)
    assert head is not None
    return head.legal_hold


def test_a_legal_hold_of_one_version_is_set_and_taken_off_and_read_back(key: str, store: S3Store) -> None:
    version = put(store, key, b"abc")
    assert not held(store, key)
    for on in (True, True, False, False):
        assert store.set_hold(key, version, on=on).legal_hold == on == held(store, key)


def test_retention_of_one_version_is_extended_and_never_shortened(key: str, store: S3Store) -> None:
    version = put(store, key, b"abc")
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    for _ in range(2):
        head = store.retain(key, version, until)
        assert (head.retain_until, head.lock_mode) == (until, "GOVERNANCE")
    with pytest.raises(CustodyError, match="only made longer") as told:
        store.retain(key, version, until - timedelta(seconds=1))
    assert (told.value.rule, told.value.exit_code) == ("custody-shortened", 6)
    assert store.retain(key, version, until).retain_until == until


def test_exactly_one_version_is_erased_through_a_governance_lock(key: str, store: S3Store) -> None:
    first = put(store, key, b"abc")
    second = store.client.put_object(Bucket=store.bucket, Key=key, Body=b"over")["VersionId"]
    for _ in range(2):
        store.erase(key, first)
        assert list(store.versions(key)) == [second]


def test_what_is_on_hold_or_under_compliance_is_not_erased(key: str, store: S3Store) -> None:
    version = put(store, key, b"abc")
    head = store.set_hold(key, version, on=True)
    with pytest.raises(CustodyError, match="is on legal hold"):
        refuse_locked(head, datetime.now(UTC))
    legal = new_store(store.endpoint, store.bucket, compliance=True)
    for locked, at in ((store, key), (legal, f"{key}-legal")):
        kept = put(locked, at, b"abc")
        with pytest.raises(StoreUnavailableError, match="AccessDenied"):
            locked.erase(at, kept)
        assert locked.read(at, kept) == b"abc"
    told = legal.head(f"{key}-legal")
    assert told is not None
    with pytest.raises(CustodyError, match=r"COMPLIANCE mode until .*, which nobody can lift"):
        refuse_locked(told, datetime.now(UTC))
    refuse_locked(told, datetime.now(UTC) + timedelta(days=2))


def test_locks_of_a_version_that_is_not_there_are_refused(key: str, store: S3Store) -> None:
    put(store, key, b"abc")
    for call in (
        lambda: store.set_hold(key, "0" * 32, on=True),
        lambda: store.retain(key, "0" * 32, datetime.now(UTC) + timedelta(days=9)),
    ):
        with pytest.raises(StoreUnavailableError, match=f"no version 0+ of {key}"):
            call()


@pytest.mark.parametrize("method", ["put_object_legal_hold", "put_object_retention", "delete_object"])
def test_a_store_that_answers_and_does_nothing_is_found_out(
    key: str, store: S3Store, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(store, key, b"abc")
    monkeypatch.setattr(store.client, method, lambda **_: {})
    call = {
        "put_object_legal_hold": lambda: store.set_hold(key, version, on=True),
        "put_object_retention": lambda: store.retain(key, version, datetime.now(UTC) + timedelta(days=9)),
        "delete_object": lambda: store.erase(key, version),
    }[method]
    with pytest.raises(StoreUnavailableError, match="the store answered, and"):
        call()


def test_a_store_without_object_lock_refuses_to_promise_one(key: str, store: S3Store) -> None:
    version = put(store, key, b"abc")
    poor = new_store(store.endpoint, store.bucket)
    poor.abilities = Abilities(object_lock=False)
    with pytest.raises(StoreUnavailableError, match="has no Object Lock"):
        poor.set_hold(key, version, on=True)
    with pytest.raises(StoreUnavailableError, match="has no Object Lock"):
        poor.retain(key, version, datetime.now(UTC) + timedelta(days=9))
