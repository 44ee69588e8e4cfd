"""The object store over the S3 API: written once, checked by the server, locked, read back.

Around boto3's own retries lies one loop of ours with full jitter, because boto3's retry quota ends
and because it answers 412 to its own put whose reply was lost: a key found taken is therefore
compared, byte for byte, before anybody calls it a conflict.
"""

from __future__ import annotations

import io
import random
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from botocore.exceptions import ClientError

from evidence.digests import Digests, digest_stream
from evidence.errors import ObjectConflictError, StoreUnavailableError
from storage.objects import POINTER, Abilities, ObjectHead, StoredObject, check_key, write_stream
from storage.s3_client import S3Endpoint, make_client
from storage.s3_errors import S3_ERRORS, is_conflict, is_missing, is_transient, status_of, unavailable
from storage.s3_stream import resuming
from storage.s3_upload import Upload

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
GIB: Final = 1 << 30
_LONGEST_PAUSE: Final = 5.0
_NO_SUCH_RANGE: Final = 416


class S3Store:
    """An ObjectStore in one bucket. Threads may share it; processes open their own.

    `revive` and `release` are given for the embedded store: the one starts it again when a
    connection fails, the other tells it that this store is closed.
    """

    def __init__(
        self,
        endpoint: S3Endpoint,
        bucket: str,
        *,
        retention: timedelta = timedelta(days=30),
        compliance: bool = False,
        abilities: Abilities | None = None,
        patience: float = 60.0,
        revive: Callable[[], S3Endpoint] | None = None,
        release: Callable[[], None] | None = None,
        single_put: int = 4 * GIB,
        part_size: int = 64 << 20,
    ) -> None:
        """Nothing is sent yet; `patience` (seconds) is how long a request is tried again, sizes are in bytes."""
        self.endpoint = endpoint
        self.bucket = bucket
        self.abilities = abilities or Abilities()
        self.profile = "legal" if compliance else "governance"
        self.client: S3Client = make_client(endpoint)
        self._retention = retention
        self._mode = "COMPLIANCE" if compliance else "GOVERNANCE"
        self.patience = patience
        self._revive = revive
        self._release = release
        self._single_put = single_put
        self._part_size = part_size

    def close(self) -> None:
        """Close the connections; an embedded server's idle time starts to run."""
        self.client.close()
        if self._release is not None:
            self._release()

    def put_once(
        self, key: str, source: Path | bytes, digests: Digests, *, content_type: str
    ) -> StoredObject:
        """See ObjectStore.put_once."""
        until = datetime.now(UTC).replace(microsecond=0) + self._retention
        locked = {"ObjectLockMode": self._mode, "ObjectLockRetainUntilDate": until}
        upload = Upload(
            self.bucket,
            check_key(key),
            source,
            digests,
            content_type,
            locked if self.abilities.object_lock else {},
        )
        version = self.insist(f"store {key}", lambda: self._put(upload))
        head = self._head(key, version or None)
        if head is None:
            raise StoreUnavailableError(
                f"the store acknowledged {key} and does not have it", next="run `akashi doctor`"
            )
        self._check(upload, head, mine=version is not None)
        return StoredObject(key, head.version, digests, head.retain_until)

    def replace(self, key: str, data: bytes) -> None:
        """See ObjectStore.replace."""
        if key != POINTER:
            raise ValueError(f"{key} is written once; only {POINTER} may be replaced")
        self.insist(
            f"replace {key}",
            lambda: self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                ContentType="text/plain; charset=utf-8",
                ChecksumSHA256=b64encode(sha256(data).digest()).decode(),
            ),
        )

    def custody(self) -> dict[str, Any]:
        """See ObjectStore.custody."""
        return {
            "abilities": asdict(self.abilities),
            "bucket": self.bucket,
            "endpoint_kind": self.endpoint.kind,
            "profile": self.profile,
        }

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        """See ObjectSource.open."""
        first = start or 0
        last = "" if length is None else str(first + length - 1)
        pinned: dict[str, Any] = {"VersionId": version} if version else {}

        def fetch(position: int) -> StreamingBody | None:
            ranged: dict[str, Any] = (
                {"Range": f"bytes={first + position}-{last}"} if first + position or last else {}
            )
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=key, **pinned, **ranged)
            except ClientError as error:
                if status_of(error) == _NO_SUCH_RANGE:
                    return None
                if is_missing(error):
                    raise FileNotFoundError(key) from error
                raise
            if answer.get("VersionId"):
                pinned["VersionId"] = answer["VersionId"]  # what follows a break is of the same version
            return answer["Body"]

        if length == 0:
            return io.BytesIO()
        body = self.insist(f"read {key}", lambda: fetch(0))
        return (
            io.BytesIO()
            if body is None
            else resuming(body, lambda at: self.insist(f"read {key}", lambda: fetch(at)))
        )

    def read(self, key: str, version: str | None = None) -> bytes:
        """See ObjectSource.read."""
        with self.open(key, version) as stream:
            return stream.read()

    def download(self, key: str, to: Path) -> Digests:
        """See ObjectSource.download."""
        with self.open(key) as stream:
            return write_stream(stream, to)

    def head(self, key: str) -> ObjectHead | None:
        """See ObjectSource.head."""
        return self._head(key, None)

    def versions(self, key: str) -> Sequence[str]:
        """See ObjectSource.versions; at most the newest thousand."""
        answer = self.insist(
            f"list the versions of {key}",
            lambda: self.client.list_object_versions(Bucket=self.bucket, Prefix=key),
        )
        return [found["VersionId"] for found in answer.get("Versions", []) if found["Key"] == key]

    def list(self, prefix: str) -> Iterator[ObjectHead]:
        """See ObjectSource.list; `version` is empty here, `versions()` tells it."""
        last = ""
        while True:
            page = self.insist(
                f"list {prefix}",
                partial(self.client.list_objects_v2, Bucket=self.bucket, Prefix=prefix, StartAfter=last),
            )
            for item in page.get("Contents", []):
                last = item["Key"]
                yield ObjectHead(last, item["Size"], "", modified=item["LastModified"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return

    def insist(self, doing: str, call: Callable[[], T]) -> T:
        """Call until it succeeds, as long as errors are transient and patience lasts.

        Raises StoreUnavailableError saying what could not be done and what to do about it.
        """
        deadline = time.monotonic() + self.patience
        pause = 0.1
        while True:
            try:
                return call()
            except S3_ERRORS as error:
                if not is_transient(error) or time.monotonic() >= deadline:
                    raise unavailable(doing, self.endpoint.url, error) from error
                if self._revive is not None and not isinstance(error, ClientError):
                    self._reconnect(self._revive())
            time.sleep(random.uniform(0, pause))  # noqa: S311 - spreads load, hides nothing
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _reconnect(self, endpoint: S3Endpoint) -> None:
        if endpoint != self.endpoint:
            self.endpoint, self.client = endpoint, make_client(endpoint)

    def _put(self, upload: Upload) -> str | None:
        """The version id of what was stored now, None if the key was taken."""
        try:
            if upload.digests.size <= self._single_put:
                return upload.put(self.client)
            if self._head(upload.key, None) is not None:
                return None
            return upload.put_parts(self.client, self._part_size)
        except ClientError as error:
            if is_conflict(error):
                return None
            raise

    def _head(self, key: str, version: str | None) -> ObjectHead | None:
        pinned: dict[str, Any] = {"VersionId": version} if version else {}

        def ask() -> ObjectHead | None:
            try:
                answer = self.client.head_object(
                    Bucket=self.bucket, Key=key, ChecksumMode="ENABLED", **pinned
                )
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
            return _as_head(key, answer)

        return self.insist(f"look at {key}", ask)

    def _check(self, upload: Upload, head: ObjectHead, *, mine: bool) -> None:
        """Refuse what the store has under the key unless it is these bytes, under a lock that holds."""
        digests, key = upload.digests, upload.key
        same = head.size == digests.size
        if same and mine and head.sha256 is not None:
            same = head.sha256 == digests.sha256
        elif same:
            with self.open(key, head.version or None) as stream:
                same = digest_stream(stream) == digests
        if not same:
            raise ObjectConflictError(
                f"{key} holds other bytes than those with SHA-256 {digests.sha256}",
                next="nothing was overwritten; run `akashi audit`",
            )
        if upload.lock and (head.retain_until is None or head.lock_mode is None):
            raise StoreUnavailableError(
                f"the store did not lock {key}", next="run `akashi doctor` for what the store lacks"
            )
        if mine and (head.lock_mode, head.retain_until) != (
            upload.lock.get("ObjectLockMode"),
            upload.lock.get("ObjectLockRetainUntilDate"),
        ):
            raise StoreUnavailableError(
                f"the store locked {key} as {head.lock_mode} until {head.retain_until}, not as asked",
                next="run `akashi doctor` for what the store lacks",
            )


def _as_head(key: str, answer: Mapping[str, Any]) -> ObjectHead:
    checksum = answer.get("ChecksumSHA256", "")
    until: datetime | None = answer.get("ObjectLockRetainUntilDate")
    return ObjectHead(
        key=key,
        size=answer["ContentLength"],
        version=answer.get("VersionId", ""),
        # "…-3" is the digest of three parts' digests, not of the object.
        sha256=b64decode(checksum).hex() if checksum and "-" not in checksum else None,
        modified=answer["LastModified"].astimezone(UTC),
        retain_until=until and until.astimezone(UTC),
        lock_mode=answer.get("ObjectLockMode"),
    )
