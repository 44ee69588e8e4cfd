"""The object store over the S3 API: written once, checked by the server, locked, read back.

Around boto3's own retries lies one loop of ours with full jitter, because boto3's retry quota ends
and because it answers 412 to its own put whose reply was lost: a key found taken is therefore
compared, byte for byte, before anybody calls it a conflict.
"""

from __future__ import annotations

import os
import random
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from evidence.checkpoint import POINTER
from evidence.digests import CHUNK, Digester, Digests, digest_stream
from evidence.errors import ObjectConflictError, StoreUnavailableError
from storage import s3_lock, s3_upload
from storage.objects import Abilities, ObjectHead, StoredObject, check_key, stream_of
from storage.s3_client import (
    S3_ERRORS,
    S3Endpoint,
    is_missing,
    is_transient,
    make_client,
    status_of,
    unavailable,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
_LONGEST_PAUSE: Final = 5.0
_RESUMES: Final = 8
_PAGE: Final = 128
"""Keys asked for at once: of SeaweedFS (`weed mini`) a page of 300 that held folders was seen never to come."""
_BROKEN: Final = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_DOCTOR: Final = "run `akashi doctor` for what the store lacks"


class S3Store:
    """An ObjectStore in one bucket. Threads may share it; processes open their own.

    `patience` (seconds) is how long a request is tried again. `revive` and `release` are given for
    the embedded store: the one starts it again when a connection fails, the other tells it that
    this store is closed.
    """

    def __init__(
        self,
        endpoint: S3Endpoint,
        bucket: str,
        *,
        retention: timedelta = timedelta(days=30),
        compliance: bool = False,
        patience: float = 60.0,
        revive: Callable[[], S3Endpoint] | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.abilities = Abilities()
        self.profile = "legal" if compliance else "governance"
        self.client: S3Client = make_client(endpoint)
        self.patience = patience
        self.retention = retention
        self._revive = revive
        self._release = release

    def close(self) -> None:
        """Close the connections; an embedded server's idle time starts to run."""
        self.client.close()
        if self._release is not None:
            self._release()

    def put_once(
        self, key: str, source: Path | bytes, digests: Digests, *, content_type: str
    ) -> StoredObject:
        """See ObjectStore.put_once."""
        lock = s3_lock.asked_for(self)
        target = {"Bucket": self.bucket, "Key": check_key(key)}

        def put() -> str | None:
            """The version id of what was stored now, None if the key was taken."""
            if digests.size > s3_upload.SINGLE_PUT and self.head(key):
                return None
            try:
                return s3_upload.upload(
                    self.client, target, source, digests, ContentType=content_type, **lock
                )
            except ClientError as error:
                if status_of(error) == HTTPStatus.PRECONDITION_FAILED:
                    return None
                raise

        version = self.insist(f"store {key}", put)
        head = self.head(key, version or "")
        if head is None:
            raise StoreUnavailableError(f"the store acknowledged {key} and does not have it", next=_DOCTOR)
        self._compare(head, digests, told=version is not None)
        s3_lock.require(head, lock, new=version is not None)
        return StoredObject(key, head.version, digests, head.retain_until)

    def replace(self, key: str, data: bytes) -> None:
        """See ObjectStore.replace."""
        if key != POINTER:
            raise ValueError(f"{key} is written once; only {POINTER} may be replaced")
        checksum = b64encode(sha256(data).digest()).decode()
        told: Any = {"ContentType": "text/plain; charset=utf-8", "ChecksumSHA256": checksum}
        self.insist(
            f"replace {key}", lambda: self.client.put_object(Bucket=self.bucket, Key=key, Body=data, **told)
        )

    def set_hold(self, key: str, version: str, *, on: bool) -> ObjectHead:
        """See ObjectStore.set_hold."""
        return s3_lock.set_hold(self, key, version, on=on)

    def retain(self, key: str, version: str, until: datetime) -> ObjectHead:
        """See ObjectStore.retain."""
        return s3_lock.retain(self, key, version, until)

    def erase(self, key: str, version: str) -> None:
        """See ObjectStore.erase."""
        s3_lock.erase(self, key, version)

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
        chunks = self._chunks(key, version, start or 0, length)
        next(chunks)  # what is not there is told now
        return stream_of(chunks)

    def read(self, key: str, version: str | None = None) -> bytes:
        """See ObjectStore.read."""
        with self.open(key, version) as stream:
            return stream.read()

    def download(self, key: str, to: Path) -> Digests:
        """See ObjectStore.download."""
        digester = Digester()
        with self.open(key) as stream, to.open("xb") as file:
            while chunk := stream.read(CHUNK):
                digester.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        return digester.result()

    def head(self, key: str, version: str = "") -> ObjectHead | None:
        """See ObjectStore.head."""
        pinned: dict[str, Any] = {"VersionId": version} if version else {}

        def ask() -> Any:
            try:
                return self.client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED", **pinned)
            except ClientError as error:
                if is_missing(error):
                    return None
                raise

        answer = self.insist(f"look at {key}", ask)
        if answer is None:
            return None
        checksum = answer.get("ChecksumSHA256", "-")  # "…-3": the digest of three parts' digests
        return ObjectHead(
            key,
            answer["ContentLength"],
            answer.get("VersionId", ""),
            None if "-" in checksum else b64decode(checksum).hex(),
            answer.get("ObjectLockRetainUntilDate"),
            answer.get("ObjectLockMode"),
            answer.get("ObjectLockLegalHoldStatus") == "ON",
        )

    def versions(self, key: str) -> Sequence[str]:
        """See ObjectSource.versions; at most the newest thousand."""
        answer = self.insist(
            f"list the versions of {key}",
            lambda: self.client.list_object_versions(Bucket=self.bucket, Prefix=key),
        )
        return [found["VersionId"] for found in answer.get("Versions", []) if found["Key"] == key]

    def list(self, prefix: str) -> Iterator[ObjectHead]:
        """See ObjectSource.list."""
        last, more = "", True
        while more:
            page = self.insist(
                f"list {prefix}",
                partial(
                    self.client.list_objects_v2,
                    Bucket=self.bucket,
                    Prefix=prefix,
                    StartAfter=last,
                    MaxKeys=_PAGE,
                ),
            )
            for item in page.get("Contents", []):
                last = item["Key"]
                yield ObjectHead(last, item["Size"])
            more = page.get("IsTruncated", False)

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
                    endpoint = self._revive()
                    if endpoint != self.endpoint:
                        self.endpoint, self.client = endpoint, make_client(endpoint)
            time.sleep(random.uniform(0, pause))  # noqa: S311 - spreads load, hides nothing
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _chunks(self, key: str, version: str | None, start: int, length: int | None) -> Iterator[bytes]:
        """Nothing, once the object is found; then its bytes, going on where a broken answer ended."""
        end = None if length is None else start + length
        for resumed in range(_RESUMES + 1):
            get = partial(self._get, key, version, start, end)
            answer = self.insist(f"read {key}", get) if start != end else None
            if resumed == 0:
                yield b""
            if answer is None:
                return
            version = answer.get("VersionId", version)  # what follows a break is of the same version
            with closing(answer["Body"]) as body:
                try:
                    while data := body.read(CHUNK):
                        start += len(data)
                        yield data
                except _BROKEN as error:  # boto3 retries requests, never a body
                    broken = error
                else:
                    return
        raise StoreUnavailableError(
            f"the store's answer for {key} breaks off again and again: {broken}", next="run `akashi doctor`"
        )

    def _get(self, key: str, version: str | None, start: int, end: int | None) -> Any:
        """The store's answer, None if the object ends before `start`."""
        asked: dict[str, Any] = {"VersionId": version} if version else {}
        if start or end:
            asked["Range"] = f"bytes={start}-{end - 1 if end else ''}"
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key, **asked)
        except ClientError as error:
            if status_of(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            if is_missing(error):
                raise FileNotFoundError(key) from error
            raise

    def _compare(self, head: ObjectHead, digests: Digests, *, told: bool) -> None:
        """Refuse what is under the key unless it is these bytes; `told`: the store's own digest is enough."""
        same = head.size == digests.size
        if same and told and head.sha256 is not None:
            same = head.sha256 == digests.sha256
        elif same:
            with self.open(head.key, head.version or None) as stream:
                same = digest_stream(stream) == digests
        if not same:
            raise ObjectConflictError(
                f"{head.key} holds other bytes than those with SHA-256 {digests.sha256}",
                next="nothing was overwritten; run `akashi audit`",
            )
