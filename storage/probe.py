"""What a store really does, found out by doing it: the letters of the API are not believed.

Some stores answer 200 to `If-None-Match: *` and overwrite, or to a lock and delete. Each ability is
therefore tried on throw-away objects under `probe/`, which are removed again as far as the store
lets them be.
"""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from evidence.identifiers import new_ulid
from storage.objects import Abilities
from storage.s3_errors import S3_ERRORS, is_missing, is_transient, status_of

if TYPE_CHECKING:
    from storage.s3 import S3Store

_RIVALS: Final = 3


def probe(store: S3Store) -> Abilities:
    """Try each ability once, in about 20 requests. Raises StoreUnavailableError if the store is away."""
    tried = _Probe(store, f"probe/{new_ulid()}")
    try:
        return Abilities(
            create_only=store.insist("probe create-only puts", tried.create_only),
            versioning=store.insist("probe versioning", tried.versioning),
            object_lock=store.insist("probe Object Lock", tried.object_lock),
            checksum_sha256=store.insist("probe checksums", tried.checksum),
        )
    finally:
        tried.clean()


class _Probe:
    def __init__(self, store: S3Store, prefix: str) -> None:
        self._client = store.client
        self._bucket = store.bucket
        self._prefix = prefix

    def create_only(self) -> bool:
        """Of three who put different bytes under one key at once, one succeeds, and its bytes stay."""
        key = f"{self._prefix}/create-only-{new_ulid()}"

        def put(rival: int) -> int | None:
            try:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=b"%d" % rival, IfNoneMatch="*")
            except ClientError as error:
                if status_of(error) != HTTPStatus.CONFLICT:  # another put under way: a refusal too
                    _may_be_refused(error)
                return None
            return rival

        with ThreadPoolExecutor(_RIVALS) as pool:
            winners = [rival for rival in pool.map(put, range(_RIVALS)) if rival is not None]
        stored = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        # boto3 may be answered 412 to a put of its own whose reply was lost: no winner is no failure.
        return len(winners) <= 1 and stored in (
            [b"%d" % w for w in winners] or [b"%d" % r for r in range(_RIVALS)]
        )

    def versioning(self) -> bool:
        """Two puts under one key leave two versions, and the first can still be read."""
        key = f"{self._prefix}/versions"
        first = self._client.put_object(Bucket=self._bucket, Key=key, Body=b"1").get("VersionId")
        second = self._client.put_object(Bucket=self._bucket, Key=key, Body=b"2").get("VersionId")
        if not first or not second or first == second:
            return False
        return self._client.get_object(Bucket=self._bucket, Key=key, VersionId=first)["Body"].read() == b"1"

    def object_lock(self) -> bool:
        """A locked version cannot be deleted, and its lock is told."""
        key = f"{self._prefix}/locked"
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
        try:
            version = self._client.put_object(
                Bucket=self._bucket, Key=key, Body=b"locked", ObjectLockMode="GOVERNANCE",
                ObjectLockRetainUntilDate=until, ChecksumSHA256=_checksum(b"locked"),
            ).get("VersionId")  # fmt: skip
            if not version:
                return False
            head = self._client.head_object(Bucket=self._bucket, Key=key, VersionId=version)
            if head.get("ObjectLockRetainUntilDate") != until:
                return False
        except ClientError as error:
            _may_be_refused(error)
            return False
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key, VersionId=version)
        except ClientError as error:
            _may_be_refused(error)
            return self._exists(key)
        return False

    def checksum(self) -> bool:
        """A wrong SHA-256 is refused, a right one is kept and told."""
        key = f"{self._prefix}/checksum"
        right, wrong = _checksum(b"right"), _checksum(b"wrong")
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=b"right", ChecksumSHA256=wrong)
        except ClientError as error:
            _may_be_refused(error)
        else:
            return False
        self._client.put_object(Bucket=self._bucket, Key=key, Body=b"right", ChecksumSHA256=right)
        head = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        return head.get("ChecksumSHA256") == right

    def _exists(self, key: str) -> bool:
        try:
            self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if is_missing(error):
                return False
            raise
        return True

    def clean(self) -> None:
        """Remove what was put, as far as the store lets it: what stays is a few bytes that nothing names."""
        with suppress(*S3_ERRORS):
            found = self._client.list_object_versions(Bucket=self._bucket, Prefix=f"{self._prefix}/")
            for item in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
                with suppress(*S3_ERRORS):
                    self._client.delete_object(
                        Bucket=self._bucket, Key=item["Key"], VersionId=item["VersionId"],
                        BypassGovernanceRetention=True,
                    )  # fmt: skip


def _checksum(data: bytes) -> str:
    return b64encode(sha256(data).digest()).decode()


def _may_be_refused(error: ClientError) -> None:
    """Raise what says nothing about the ability: an error that may be gone in a moment."""
    if is_transient(error) and status_of(error) != HTTPStatus.NOT_IMPLEMENTED:
        raise error
