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
from typing import Any, Final

from botocore.exceptions import ClientError

from evidence.identifiers import new_ulid
from storage.objects import Abilities
from storage.s3 import S3Store
from storage.s3_client import S3_ERRORS, is_transient, status_of

_RIVALS: Final = 3


def probe(store: S3Store) -> Abilities:
    """Try each ability once, in about 20 requests. Raises StoreUnavailableError if the store is away."""
    tried = _Probe(store)
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
    def __init__(self, store: S3Store) -> None:
        self._client: Any = store.client
        self._bucket = store.bucket
        self._prefix = f"probe/{new_ulid()}"

    def create_only(self) -> bool:
        """Of three who put different bytes under one key at once, one succeeds, and its bytes stay."""
        here = self._at(f"create-only-{new_ulid()}")

        def put(rival: int) -> bytes | None:
            try:
                self._client.put_object(**here, Body=b"%d" % rival, IfNoneMatch="*")
            except ClientError as error:
                if status_of(error) != HTTPStatus.CONFLICT:  # another put under way: a refusal too
                    _may_be_refused(error)
                return None
            return b"%d" % rival

        with ThreadPoolExecutor(_RIVALS) as pool:
            winners = [data for data in pool.map(put, range(_RIVALS)) if data is not None]
        stored = self._client.get_object(**here)["Body"].read()
        # boto3 may be answered 412 to a put of its own whose reply was lost: no winner is no failure.
        return not winners or winners == [stored]

    def versioning(self) -> bool:
        """Two puts under one key leave two versions, and the first can still be read."""
        here = self._at("versions")
        first, second = (self._client.put_object(**here, Body=b).get("VersionId") for b in (b"1", b"2"))
        if not first or first == second:
            return False
        return bool(self._client.get_object(**here, VersionId=first)["Body"].read() == b"1")

    def object_lock(self) -> bool:
        """A locked version cannot be deleted, and its lock is told."""
        here = self._at("locked")
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
        lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
        try:
            made = self._client.put_object(
                **here, Body=b"locked", ChecksumSHA256=_checksum(b"locked"), **lock
            )
            here["VersionId"] = made["VersionId"]
            told = self._client.head_object(**here)["ObjectLockRetainUntilDate"]
        except KeyError:
            return False
        except ClientError as error:
            _may_be_refused(error)
            return False
        try:
            self._client.delete_object(**here)
        except ClientError as error:
            _may_be_refused(error)
        else:
            return False
        self._client.head_object(**here)
        return bool(told == until)

    def checksum(self) -> bool:
        """A wrong SHA-256 is refused, a right one is kept and told."""
        here = self._at("checksum")
        try:
            self._client.put_object(**here, Body=b"right", ChecksumSHA256=_checksum(b"wrong"))
        except ClientError as error:
            _may_be_refused(error)
        else:
            return False
        self._client.put_object(**here, Body=b"right", ChecksumSHA256=_checksum(b"right"))
        head = self._client.head_object(**here, ChecksumMode="ENABLED")
        return bool(head.get("ChecksumSHA256") == _checksum(b"right"))

    def clean(self) -> None:
        """Remove what was put, as far as the store lets it: what stays is a few bytes that nothing names."""
        with suppress(*S3_ERRORS):
            found = self._client.list_object_versions(Bucket=self._bucket, Prefix=f"{self._prefix}/")
            for item in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
                here = {"Bucket": self._bucket, "Key": item["Key"], "VersionId": item["VersionId"]}
                with suppress(*S3_ERRORS):
                    self._client.delete_object(**here, BypassGovernanceRetention=True)

    def _at(self, name: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{name}"}


def _checksum(data: bytes) -> str:
    return b64encode(sha256(data).digest()).decode()


def _may_be_refused(error: ClientError) -> None:
    """Raise what says nothing about the ability: an error that may be gone in a moment."""
    if is_transient(error) and status_of(error) != HTTPStatus.NOT_IMPLEMENTED:
        raise error
