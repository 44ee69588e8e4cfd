"""The S3 store where networks and stores fail: lost answers, broken bodies, parts, locks, memory."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from botocore.response import StreamingBody

from evidence.digests import digest_bytes, digest_file
from evidence.errors import ObjectConflictError, StoreUnavailableError
from storage import s3, s3_upload
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from tests.storage.samples import new_store

DATA = bytes(range(251)) * 400
PARTS = bytes(range(251)) * 42_000
"""Three parts."""


def answer(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


def failing(store: S3Store, method: str, *errors: Exception, done: bool) -> list[str]:
    """Make the next calls of a client's method fail, after (`done`) or instead of doing them."""
    real, left, seen = getattr(store.client, method), list(errors), list[str]()

    def call(**arguments: Any) -> Any:
        seen.append(arguments.get("Key", ""))
        result = real(**arguments) if done or not left else None
        if left:
            raise left.pop(0)
        return result

    setattr(store.client, method, call)
    return seen


@pytest.fixture
def store(one_bucket: S3Store) -> S3Store:
    return new_store(one_bucket.endpoint, one_bucket.bucket)


@pytest.fixture
def in_parts(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """The store, but files of more than 1 MiB go in parts of 5 MiB (the least that S3 takes)."""
    monkeypatch.setattr(s3_upload, "SINGLE_PUT", 1 << 20)
    monkeypatch.setattr(s3_upload, "PART_SIZE", 5 << 20)
    return store


LOST = ConnectionClosedError(endpoint_url="http://127.0.0.1")


@pytest.mark.parametrize("done", [False, True], ids=["failed", "failed but persisted"])
@pytest.mark.parametrize(
    "error",
    [LOST, answer(503, "SlowDown"), answer(500, "InternalError"), answer(409, "ConditionalRequestConflict")],
)
def test_a_put_whose_answer_is_an_error_is_tried_again_and_stored_once(
    key: str, store: S3Store, error: Exception, done: bool
) -> None:
    seen = failing(store, "put_object", error, error, done=done)
    stored = store.put_once(key, DATA, digest_bytes(DATA), content_type="text/plain")
    assert len(seen) == (2 if done else 3)  # what was persisted is found by the second try
    assert list(store.versions(key)) == [stored.version]
    assert store.read(key) == DATA


@pytest.mark.parametrize("error", [answer(403, "AccessDenied"), answer(404, "NoSuchBucket")])
def test_an_error_that_will_not_pass_is_told_at_once_with_the_next_step(
    key: str, store: S3Store, error: Exception
) -> None:
    seen = failing(store, "put_object", error, error, done=False)
    with pytest.raises(
        StoreUnavailableError, match=rf"^the store at http\S+ cannot store {key}: \w+ "
    ) as told:
        store.put_once(key, b"", digest_bytes(b""), content_type="text/plain")
    assert told.value.next
    assert len(seen) == 1


def test_a_store_that_is_away_is_one_line_after_the_patience_given(key: str) -> None:
    store = S3Store(S3Endpoint("http://127.0.0.1:9", "a", "b"), "nowhere", patience=0.3)
    with pytest.raises(StoreUnavailableError, match="Could not connect") as told:
        store.put_once(key, b"", digest_bytes(b""), content_type="text/plain")
    assert "akashi doctor" in told.value.next
    assert "\n" not in told.value.detail


def test_a_store_that_comes_back_elsewhere_is_found_again(key: str, store: S3Store) -> None:
    away = S3Endpoint("http://127.0.0.1:9", store.endpoint.access_key, store.endpoint.secret_key)
    moved = S3Store(away, store.bucket, patience=20.0, revive=lambda: store.endpoint)
    moved.put_once(key, b"a", digest_bytes(b"a"), content_type="text/plain")
    assert store.read(key) == b"a"


def test_a_wrong_key_is_refused_with_the_next_step(key: str, store: S3Store) -> None:
    for access, secret, said in (
        ("nobody", store.endpoint.secret_key, "ACCESS_KEY"),
        (store.endpoint.access_key, "wrong", "SECRET_KEY"),
    ):
        stranger = S3Store(S3Endpoint(store.endpoint.url, access, secret), store.bucket, patience=0.1)
        with pytest.raises(StoreUnavailableError) as told:
            stranger.put_once(key, b"", digest_bytes(b""), content_type="text/plain")
        assert said in told.value.next


def test_a_body_that_breaks_off_is_read_on_from_there(key: str, store: S3Store) -> None:
    stored = store.put_once(key, DATA, digest_bytes(DATA), content_type="text/plain")
    real, ranges = store.client.get_object, list[str | None]()

    def broken(**arguments: Any) -> Any:
        ranges.append(arguments.get("Range"))
        result = real(**arguments)
        if len(ranges) < 4:
            whole = result["Body"].read()
            result["Body"] = StreamingBody(BytesIO(whole[:1000]), len(whole))
        return result

    store.client.get_object = broken  # type: ignore[method-assign]
    with store.open(key, start=10) as stream:
        assert stream.read() == DATA[10:]
    assert ranges == ["bytes=10-", "bytes=1010-", "bytes=2010-", "bytes=3010-"]
    assert stored.version


def test_a_body_that_always_breaks_off_is_an_error_and_never_short(key: str, store: S3Store) -> None:
    store.put_once(key, DATA, digest_bytes(DATA), content_type="text/plain")
    store.client.get_object = lambda **_: {"Body": StreamingBody(BytesIO(b""), 1000)}  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError, match="breaks off again and again"):
        store.read(key)


@pytest.mark.parametrize("profile", ["governance", "legal"])
def test_what_is_stored_cannot_be_deleted_before_its_time(
    key: str, reopen: Callable[..., S3Store], profile: str
) -> None:
    store = reopen(compliance=profile == "legal", retention=timedelta(hours=1))
    stored = store.put_once(key, b"a", digest_bytes(b"a"), content_type="text/plain")
    head = store.head(key)
    assert head is not None
    assert head.lock_mode == {"governance": "GOVERNANCE", "legal": "COMPLIANCE"}[profile]
    assert stored.retain_until is not None
    left = stored.retain_until - datetime.now(UTC)
    assert timedelta(minutes=58) < left <= timedelta(hours=1)
    with pytest.raises(ClientError, match="AccessDenied"):
        store.client.delete_object(Bucket=store.bucket, Key=key, VersionId=stored.version)


def test_a_store_that_locks_otherwise_than_asked_is_refused(key: str, store: S3Store) -> None:
    real = store.client.put_object

    def unlocked(**arguments: Any) -> Any:
        return real(**{name: value for name, value in arguments.items() if not name.startswith("ObjectLock")})

    store.client.put_object = unlocked  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError, match=f"did not lock {key}"):
        store.put_once(key, b"a", digest_bytes(b"a"), content_type="text/plain")


def test_a_store_that_tells_no_digest_is_read_back_whole(key: str, store: S3Store, tmp_path: Path) -> None:
    real = store.client.head_object

    def silent(**arguments: Any) -> Any:
        return {name: value for name, value in real(**arguments).items() if name != "ChecksumSHA256"}

    store.client.head_object = silent  # type: ignore[method-assign]
    reads = failing(store, "get_object", done=True)
    store.put_once(key, DATA, digest_bytes(DATA), content_type="text/plain")
    assert reads == [key]


def test_above_the_limit_of_a_single_put_a_file_goes_in_parts_under_the_same_rules(
    key: str, in_parts: S3Store, tmp_path: Path
) -> None:
    store = in_parts
    data = PARTS
    file = tmp_path / "file"
    file.write_bytes(data)
    stored = store.put_once(key, file, digest_file(file), content_type="video/mp4")
    head = store.head(key)
    assert head is not None
    assert (head.size, head.sha256, head.lock_mode) == (len(data), None, "GOVERNANCE")
    assert store.read(key) == data
    again = store.put_once(key, file, digest_file(file), content_type="video/mp4")
    assert again.version == stored.version
    file.write_bytes(data[::-1])
    with pytest.raises(ObjectConflictError):
        store.put_once(key, file, digest_file(file), content_type="video/mp4")
    assert list(store.versions(key)) == [stored.version]


@pytest.mark.parametrize("done", [False, True], ids=["failed", "failed but persisted"])
def test_parts_whose_completion_fails_are_stored_once_and_leave_no_orphans(
    key: str, in_parts: S3Store, done: bool
) -> None:
    store = in_parts
    failing(store, "complete_multipart_upload", EndpointConnectionError(endpoint_url="x"), done=done)
    stored = store.put_once(key, PARTS, digest_bytes(PARTS), content_type="video/mp4")
    assert list(store.versions(key)) == [stored.version]
    assert store.read(key) == PARTS
    assert not store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads")


def test_parts_lose_against_a_rival_who_came_first(
    key: str, in_parts: S3Store, reopen: Callable[..., S3Store]
) -> None:
    store, rival = in_parts, reopen()
    real = store.client.create_multipart_upload

    def late(**arguments: Any) -> Any:
        rival.put_once(key, b"first", digest_bytes(b"first"), content_type="text/plain")
        return real(**arguments)

    store.client.create_multipart_upload = late  # type: ignore[method-assign]
    with pytest.raises(ObjectConflictError):
        store.put_once(key, PARTS, digest_bytes(PARTS), content_type="video/mp4")
    assert store.read(key) == b"first"


def test_memory_does_not_grow_with_the_file(
    store: S3Store, tmp_path: Path, run_python: Callable[..., subprocess.Popen[str]]
) -> None:
    script = """
import resource, sys
from evidence.digests import digest_file
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
path = Path(sys.argv[1])
store = S3Store(S3Endpoint(*server), bucket)
store.put_once(f"crawls/{path.name}", path, digest_file(path), content_type="video/mp4")
store.download(f"crawls/{path.name}", path.with_suffix(".back"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = []
    for size in (1 << 20, 64 << 20):
        path = tmp_path / f"{size}.bin"
        with path.open("wb") as file:
            file.truncate(size)
        said, _ = run_python(script, str(path)).communicate()
        peaks.append(int(said))
    small, large = peaks
    assert large < small + 20 * 1024, f"{small} KiB for 1 MiB, {large} KiB for 64 MiB"


def test_a_listing_goes_on_over_pages(endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    store = new_store(endpoint)
    monkeypatch.setattr(s3, "_PAGE", 2)
    folders = ("captures/2026/11/22/A", "captures/2026/11/23/A", "captures/2026/11/23/B")
    keys = [f"{folder}/{name}" for folder in folders for name in ("akashi-1.warc.gz", "manifest.json")]
    keys += [f"ledger/segments/{number:012d}" for number in range(5)]
    for key in keys:
        store.put_once(key, b"", digest_bytes(b""), content_type="text/plain")
    store.replace("ledger/checkpoint", b"")
    keys = sorted([*keys, "ledger/checkpoint"])
    assert [head.key for head in store.list("")] == keys
    assert [head.key for head in store.list("captures/2026/11/23/")] == keys[2:6]


@pytest.mark.slow
def test_a_listing_does_not_hang_on_a_large_folder_with_folders_in_it(store: S3Store) -> None:
    keys = [f"ledger/tile/0/{number:03d}" for number in range(400)]
    keys += [f"ledger/tile/0/{number:03d}.p/3" for number in range(0, 400, 64)]

    def put(key: str) -> None:
        store.put_once(key, b"x", digest_bytes(b"x"), content_type="text/plain")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, keys))
    assert [head.key for head in store.list("ledger/tile/")] == sorted(keys)
