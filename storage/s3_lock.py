"""Locks of one exact version: that of a put, a legal hold, a longer retention, and the end of all by erasure.

Each is read back by version id and compared before it counts as done; each may be repeated.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from evidence.canonical import utc
from evidence.errors import CustodyError, StoreUnavailableError
from storage.objects import ObjectHead
from storage.s3_client import is_missing

if TYPE_CHECKING:
    from storage.s3 import S3Store


def asked_for(store: S3Store) -> dict[str, Any]:
    """What a put asks for, as boto3 names it: mode and date (whole seconds); nothing without Object Lock."""
    if not store.abilities.object_lock:
        return {}
    until = datetime.now(UTC).replace(microsecond=0) + store.retention
    return {"ObjectLockMode": _mode(store), "ObjectLockRetainUntilDate": until}


def require(head: ObjectHead, lock: dict[str, Any], *, new: bool) -> None:
    """Raise StoreUnavailableError unless a new version is locked as it was asked for, an old one at all."""
    asked = (lock.get("ObjectLockMode"), lock.get("ObjectLockRetainUntilDate"))
    has = (head.lock_mode, head.retain_until)
    if has != asked and (new or None in has):
        raise _unkept(
            f"did not lock {head.key} as {asked[0]} until {asked[1]}: it is {has[0]} until {has[1]}"
        )


def _mode(store: S3Store) -> str:
    return "COMPLIANCE" if store.profile == "legal" else "GOVERNANCE"


def set_hold(store: S3Store, key: str, version: str, *, on: bool) -> ObjectHead:
    """See ObjectStore.set_hold."""
    _require_locks(store)
    status: Any = {"Status": "ON" if on else "OFF"}
    if _present(store, key, version).legal_hold != on:
        store.insist(
            f"set the legal hold of {key}",
            lambda: store.client.put_object_legal_hold(**_at(store, key, version), LegalHold=status),
        )
    head = _present(store, key, version)
    if head.legal_hold != on:
        raise _unkept(f"the legal hold of {key} is not {status['Status']}")
    return head


def retain(store: S3Store, key: str, version: str, until: datetime) -> ObjectHead:
    """See ObjectStore.retain."""
    _require_locks(store)
    head = _present(store, key, version)
    refuse_shorter(head, until)
    if head.retain_until != until:
        asked: Any = {"Mode": head.lock_mode or _mode(store), "RetainUntilDate": until}
        store.insist(
            f"retain {key}",
            lambda: store.client.put_object_retention(**_at(store, key, version), Retention=asked),
        )
        head = _present(store, key, version)
    if head.retain_until is None or head.retain_until < until:
        raise _unkept(f"{key} is not locked until {utc(until)}")
    return head


def refuse_shorter(head: ObjectHead, until: datetime) -> None:
    """Raise CustodyError for a version that is locked longer already."""
    if head.retain_until is not None and head.retain_until > until:
        raise CustodyError(
            f"{head.key} is locked until {utc(head.retain_until)} already, and a lock is only made longer",
            rule="custody-shortened",
            next="name a later date",
        )


def refuse_locked(head: ObjectHead, now: datetime) -> None:
    """Raise CustodyError for a version that no credentials can delete now: on hold, or under COMPLIANCE."""
    why = ""
    if head.legal_hold:
        why = "is on legal hold"
    elif head.lock_mode == "COMPLIANCE" and head.retain_until and head.retain_until > now:
        why = f"is locked in COMPLIANCE mode until {utc(head.retain_until)}, which nobody can lift before"
    if why:
        raise CustodyError(
            f"{head.key} {why}", rule="custody-locked", next="release the hold, or wait for that day"
        )


def erase(store: S3Store, key: str, version: str) -> None:
    """See ObjectStore.erase."""
    pinned: Any = _at(store, key, version) | (
        {"BypassGovernanceRetention": True} if store.abilities.object_lock else {}
    )

    def delete() -> None:
        try:
            store.client.delete_object(**pinned)
        except ClientError as error:
            if not is_missing(error):
                raise

    store.insist(f"erase {key}", delete)
    if store.head(key, version) is not None:
        raise _unkept(f"{key} version {version or '(none)'} is still there after it was deleted")


def _at(store: S3Store, key: str, version: str) -> Any:
    return {"Bucket": store.bucket, "Key": key} | ({"VersionId": version} if version else {})


def _present(store: S3Store, key: str, version: str) -> ObjectHead:
    head = store.head(key, version)
    if head is None:
        raise StoreUnavailableError(
            f"the store has no version {version or '(any)'} of {key}", next="run `akashi audit`"
        )
    return head


def _require_locks(store: S3Store) -> None:
    if not store.abilities.object_lock:
        raise StoreUnavailableError(
            f"the store at {store.endpoint.url} has no Object Lock: it can hold and retain nothing",
            next="docs/formats/store.md names stores that can",
        )


def _unkept(what: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the store answered, and {what}", next="run `akashi doctor` for what the store lacks"
    )
