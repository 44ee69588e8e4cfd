"""Reading a store quickly tells the same as reading it carefully."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from evidence.audit import Expectations, audit
from evidence.segment import segment_key
from storage.home import Home
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.ledger_source import LedgerSource
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from tests.evidence.biglog import drafts, make_log
from tests.storage.samples import new_store

Quick = Callable[[S3Store], LedgerSource]


class _Sink:
    def __init__(self, store: S3Store) -> None:
        self._store = store

    def put(self, key: str, data: bytes) -> None:
        self._store.client.put_object(Bucket=self._store.bucket, Key=key, Body=data)


@pytest.fixture
def quick() -> Iterator[Quick]:
    """Makes sources, and closes them."""
    made: list[LedgerSource] = []

    def make(store: S3Store) -> LedgerSource:
        made.append(LedgerSource(store))
        return made[-1]

    yield make
    for source in made:
        source.close()


@pytest.fixture(scope="module")
def made(endpoint: S3Endpoint) -> tuple[S3Store, Expectations]:
    store = new_store(endpoint)
    return store, make_log(_Sink(store), 400, per_segment=40, per_checkpoint=100)


def test_the_audit_of_a_store_finds_no_fault_in_a_sound_ledger(
    quick: Quick, made: tuple[S3Store, Expectations]
) -> None:
    store, expected = made
    report = audit(quick(store), expected, since="9999")
    assert report.findings == []
    assert report.counts["entries"] == 400
    assert report.counts["tiles"] > 4


@pytest.mark.parametrize("prefix", ["ledger/segments/", "ledger/tile/", "ledger/checkpoints/"])
def test_versions_and_bytes_are_those_that_the_store_tells(
    quick: Quick, made: tuple[S3Store, Expectations], prefix: str
) -> None:
    store, _ = made
    source = quick(store)
    keys = [head.key for head in source.list(prefix)]
    for key in (*keys, *reversed(keys)):
        assert source.versions(key) == store.versions(key)
        with source.open(key) as stream:
            assert stream.read() == store.read(key)


def test_what_was_written_over_or_is_not_there_is_told(quick: Quick, endpoint: S3Endpoint) -> None:
    store = new_store(endpoint)
    sink = _Sink(store)
    for data in (b"one", b"two"):
        sink.put(segment_key(0), data)
    sink.put(segment_key(1), b"")
    source = quick(store)
    assert len(source.versions(segment_key(0))) == 2
    assert len(source.versions(segment_key(1))) == 1
    assert source.versions(segment_key(2)) == []
    sink.put(segment_key(2), b"later")
    assert len(source.versions(segment_key(2))) == 1
    assert source.open(segment_key(0)).read() == b"two"
    assert source.open(segment_key(1)).read() == b""
    with pytest.raises(FileNotFoundError):
        source.open(segment_key(3))
    assert source.open(segment_key(0), start=1, length=1).read() == b"w"


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch, made: tuple[S3Store, Expectations]) -> S3Store:
    store, _ = made
    ask: Callable[..., object] = store.client.list_object_versions
    monkeypatch.setattr(store.client, "list_object_versions", lambda **asked: ask(**asked, MaxKeys=3))
    return store


def test_versions_go_on_over_pages(quick: Quick, small_pages: S3Store) -> None:
    source = quick(small_pages)
    for head in source.list("ledger/segments/"):
        assert source.versions(head.key) == small_pages.versions(head.key)
        assert len(source.versions(head.key)) == 1


def test_a_store_that_answers_with_an_error_is_asked_again_by_its_own_way(
    quick: Quick, made: tuple[S3Store, Expectations], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = made
    source = quick(store)
    monkeypatch.setattr(store.client, "generate_presigned_url", lambda *_, **__: f"{store.endpoint.url}/none")
    assert source.open(segment_key(0)).read() == store.read(segment_key(0))
    monkeypatch.setattr(store.client, "generate_presigned_url", lambda *_, **__: "http://127.0.0.1:9/none")
    assert source.open(segment_key(0)).read() == store.read(segment_key(0))


def test_a_real_ledger_is_sound_and_its_tiles_are_what_its_entries_give(
    quick: Quick, store: S3Store, open_ledger: Callable[..., Ledger], home: Home
) -> None:
    ledger = open_ledger()
    for kind, subject, body in list(drafts(12))[3:]:
        ledger.append(kind, subject, body)
    expected = Keyring.open_or_create(home).expectations()
    report = audit(quick(store), expected, since="9999")
    assert report.findings == []
    assert report.counts["entries"] == 12
    assert report.counts["tiles"] >= 2
