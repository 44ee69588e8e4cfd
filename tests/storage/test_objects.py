"""One suite for every ObjectSource (S3Store on SeaweedFS, FolderCopy), one for every ObjectStore (S3Store)."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from evidence.audit_report import ObjectSource
from evidence.digests import digest_bytes, digest_file
from evidence.errors import ObjectConflictError, StoreUnavailableError
from storage.folder import FolderCopy, copy_to_folder
from storage.objects import ObjectStore
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
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
